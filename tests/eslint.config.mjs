// For the scripts of the explorer and the playground, which stand in their pages one after another:
// `make lint-js`.
const names = (text) => Object.fromEntries(text.split(" ").map((name) => [name, "readonly"]));

export default [
  {
    languageOptions: {
      sourceType: "script",
      globals: names(
        "document window location performance matchMedia getComputedStyle atob devicePixelRatio " +
          "addEventListener requestAnimationFrame cancelAnimationFrame setTimeout clearTimeout " +
          "ResizeObserver ImageData Image Option OffscreenCanvas Worker Blob URL self"
      ),
    },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      ...Object.fromEntries(
        (
          "no-undef no-unused-vars no-redeclare no-shadow no-var prefer-const eqeqeq no-eval " +
          "no-implied-eval no-implicit-coercion no-dupe-keys no-unreachable no-fallthrough " +
          "no-self-compare no-const-assign no-loss-of-precision use-isnan valid-typeof " +
          "array-callback-return no-param-reassign"
        )
          .split(" ")
          .map((rule) => [rule, "error"])
      ),
      "no-use-before-define": ["error", { functions: false }],
    },
  },
];
