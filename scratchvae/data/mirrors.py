"""Where MNIST and Fashion-MNIST can be had, and what is known of their archives beforehand."""

from typing import NamedTuple


class Archive(NamedTuple):
    """A .gz file: its length in bytes, their SHA-256, and how many bytes it unpacks to."""

    length: int
    sha256: str
    content: int


class Source(NamedTuple):
    """The mirrors of a data set, in the order in which they are tried, and its four files."""

    mirrors: tuple[str, ...]
    archives: dict[str, Archive]


# lengths and SHA-256 of the archives: tensorflow_datasets/url_checksums/mnist.txt and
# fashion_mnist.txt in github.com/tensorflow/datasets; an IDX file is a head of 16 or 8 bytes,
# then 784 bytes an image or one a label
MNIST = Source(
    (
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
    ),
    {
        "train-images-idx3-ubyte": Archive(
            9_912_422,
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            16 + 784 * 60_000,
        ),
        "train-labels-idx1-ubyte": Archive(
            28_881,
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            8 + 60_000,
        ),
        "t10k-images-idx3-ubyte": Archive(
            1_648_877,
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            16 + 784 * 10_000,
        ),
        "t10k-labels-idx1-ubyte": Archive(
            4_542,
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            8 + 10_000,
        ),
    },
)
FASHION_MNIST = Source(
    (
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
        "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
    ),
    {
        "train-images-idx3-ubyte": Archive(
            26_421_880,
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            16 + 784 * 60_000,
        ),
        "train-labels-idx1-ubyte": Archive(
            29_515,
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            8 + 60_000,
        ),
        "t10k-images-idx3-ubyte": Archive(
            4_422_102,
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            16 + 784 * 10_000,
        ),
        "t10k-labels-idx1-ubyte": Archive(
            5_148,
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
            8 + 10_000,
        ),
    },
)
SOURCES = {"mnist": MNIST, "fashion-mnist": FASHION_MNIST}
