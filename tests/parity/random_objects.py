"""Random checkpoints to save with torch, the same ones for the same seed, the same features and the same torch.

Everything here is known by the name of a feature. `Generator(seed, features)` uses those it is given, and
`READ_TODAY` is the one list of those that Rushlight reads: whoever teaches the reader a new kind adds its name there.
"""
import argparse
import collections
import inspect
import io
import random
import struct
import types
import warnings

import torch

# What the generator can make.
FEATURES = {
    # values
    "numbers": "None, bool, int of any size, float with NaN, infinities and -0.0, complex",
    "text": "str with control characters, astral characters and lone surrogates",
    "bytes": "bytes and bytearray",
    "torch_values": "torch.Size, torch.device, dtypes, layouts",
    "containers": "list, tuple, dict, OrderedDict, Counter, set, frozenset, with keys of all kinds",
    "sharing": "one container in several places, and cycles",
    "objects": "Namespace, SimpleNamespace, slice, range, deque, defaultdict, classes: values without a meaning here",
    "numpy": "NumPy arrays of every dtype, order and byte order, and scalars",
    # tensors
    "tensors": "dense tensors of every dtype this torch saves, 0-d and without elements too",
    "views": "transposed, sliced, expanded, overlapping, channels_last; several of one storage",
    "parameters": "Parameter, requires_grad, and Buffer where torch has it",
    "attributes": "tensors with Python attributes",
    "lazy_bits": "conjugate and negative views",
    "meta": "tensors on the meta device",
    "storages": "storages by themselves",
    "quantized": "tensors of integer codes with scales",
    "sparse": "COO, CSR, CSC, BSR, BSC",
    # what programs save
    "state_dicts": "state dicts of small networks, with _metadata",
    "optimizers": "state dicts of optimizers and schedulers after a step",
    "modules": "whole modules of torch.nn, pickled",
    # containers and how they are written
    "protocols": "pickle protocols 2 to 5, not only torch's default",
    "legacy": "torch.save(_use_new_zipfile_serialization=False)",
}

# What Rushlight reads today; the tests use these.
READ_TODAY = frozenset(FEATURES)

NUMPY_DTYPES = ("?", "i1", "u1", "<i2", ">i2", "<u2", ">u2", "<i4", ">i4", "<u4", ">u4", "<i8", ">i8", "<u8", ">u8",
                "<f2", ">f2", "<f4", ">f4", "<f8", ">f8", "<c8", ">c8", "<c16", ">c16",
                "S3", "<U2", ">U2", "V5", "<M8[ns]", ">M8[D]", "<m8[25s]", "<M8",
                [("a", ">i4"), ("b", "<f8", (2,)), ("größe", "S3")], [("in", [("x", "<i2"), ("y", "u1")]), ("z", "<f4")])

LEGACY = {"_use_new_zipfile_serialization": False}
LAYOUTS = ("strided", "sparse_coo", "sparse_csr", "sparse_csc", "sparse_bsr", "sparse_bsc")


def quietly(make):
    """make() without torch's warnings about its own future."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make()


def survives(make, **options):
    """Whether this torch makes the object, saves it and loads it: what it cannot do is not compared."""
    buffer = io.BytesIO()
    try:
        quietly(lambda: torch.save(make(), buffer, **options))
        buffer.seek(0)
        load(buffer)
    except Exception:  # each dtype fails in its own way
        return False
    return True


def load(file):
    """torch.load as it was before it refused what is not on its list."""
    options = {"weights_only": False} if "weights_only" in inspect.signature(torch.load).parameters else {}
    return quietly(lambda: torch.load(file, **options))


def every_dtype(**options):
    """The dtypes of which this torch saves dense tensors that way, in the order of their names."""
    named = {str(value): value for value in vars(torch).values() if isinstance(value, torch.dtype)}
    return [named[name] for name in sorted(named)
            if not name_of(named[name]).startswith(("qint", "quint"))
            and survives(lambda: torch.zeros(16, dtype=torch.uint8).view(named[name]), **options)]


def to_layout(dense, layout):
    if layout == "sparse_coo":
        return dense.to_sparse()
    blocks = ((2, 3),) if layout in ("sparse_bsr", "sparse_bsc") else ()
    return getattr(dense, "to_" + layout)(*blocks)


def name_of(dtype):
    return str(dtype).replace("torch.", "")



class Abilities:
    """What the running torch can do, found out once."""

    def __init__(self):
        self.dtypes = every_dtype()
        self.legacy_dtypes = every_dtype(**LEGACY)
        # The usual arithmetic works on these: gradients, conjugates, networks.
        self.real = [d for d in self.dtypes if name_of(d) in ("float16", "bfloat16", "float32", "float64")]
        self.complex = [d for d in self.dtypes if name_of(d) in ("complex64", "complex128")]
        self.conjugate = survives(lambda: torch.zeros(2, dtype=torch.complex64).conj())
        self.negative = survives(lambda: torch.zeros(2, dtype=torch.complex64).conj().imag)
        self.sparse = [name for name in LAYOUTS[1:] if survives(lambda: to_layout(torch.eye(4, 6), name))]
        self.meta = survives(lambda: torch.zeros(2, device="meta"))
        self.buffers = hasattr(torch.nn, "Buffer")
        self.untyped = survives(lambda: torch.zeros(2).untyped_storage()) if hasattr(torch.Tensor, "untyped_storage") \
            else False


_abilities = []


def abilities():
    if not _abilities:
        _abilities.append(Abilities())
    return _abilities[0]


class Generator:
    """One random checkpoint; root() gives it, save() writes it."""

    def __init__(self, seed, features=READ_TODAY):
        unknown = set(features) - set(FEATURES)
        if unknown:
            raise ValueError("no such features: " + ", ".join(sorted(unknown)))
        self.random = random.Random(seed)
        self.features = frozenset(features)
        self.can = abilities()
        self.dtypes = self.can.dtypes
        self.tensors = []     # made so far, to be met again or viewed
        self.containers = []  # the same of lists and dicts
        self.open = []        # those being filled: putting one of them into itself makes a cycle
        self.budget = self.random.choice((4, 12, 40, 120))  # values still to be made
        torch.manual_seed(seed)

    def has(self, feature):
        return feature in self.features

    def chance(self, probability):
        return self.random.random() < probability

    def save(self, path):
        options = {}
        if self.has("protocols") and self.chance(0.5):
            options["pickle_protocol"] = self.random.choice((2, 3, 4, 5))
        if self.has("legacy") and self.chance(0.5):
            options.update(LEGACY)
            self.dtypes = self.can.legacy_dtypes
            self.features -= {"meta", "storages"}  # torch fails to save or to load them that way
        root = self.root()
        quietly(lambda: torch.save(root, path, **options))

    def root(self):
        recipes = [self.container] + [self.tree] * 3
        if self.has("tensors"):
            recipes += [self.tensor, self.dict_of_tensors, self.dict_of_tensors]
        if self.has("state_dicts"):
            recipes += [self.state_dict, self.training_checkpoint]
        if self.has("modules"):
            recipes += [self.module]
        recipes += [self.value]
        return self.random.choice(recipes)()

    def tree(self):
        """A dict that uses up the budget."""
        made = {}
        self.containers.append(made)
        self.open.append(made)
        while self.budget > 0 and len(made) < 60:
            made[self.word() + str(len(made))] = self.value()
        self.open.pop()
        return made

    # --- values

    def value(self):
        """Any value: mostly leaves, as the budget shrinks only leaves."""
        self.budget -= 1
        kinds = []
        for feature, make, weight in (("numbers", self.number, 6), ("text", self.text, 3),
                                      ("bytes", self.some_bytes, 1),
                                      ("torch_values", self.torch_value, 1), ("objects", self.object, 1),
                                      ("numpy", self.numpy, 1), ("storages", self.storage, 0.3),
                                      ("tensors", self.tensor, 4), ("quantized", self.quantized, 1),
                                      ("sparse", self.sparse, 1)):
            if self.has(feature):
                kinds.append((make, weight))
        if self.has("containers") and self.budget > 0:
            kinds.append((self.container, 5))
        if self.has("sharing") and self.containers:
            kinds.append((lambda: self.random.choice(self.containers), 0.5))
        if self.has("sharing") and self.open:
            kinds.append((lambda: self.random.choice(self.open), 0.2))
        makers, weights = zip(*kinds)
        return self.random.choices(makers, weights)[0]()

    def number(self):
        kind = self.random.randrange(10)
        if kind == 0:
            return self.random.choice((None, True, False))
        if kind < 5:
            return self.integer()
        if kind < 9:
            return self.float()
        return complex(self.float(), self.float())

    def integer(self):
        kind = self.random.randrange(4)
        if kind == 0:
            return self.random.randrange(-3, 300)
        if kind == 1:
            edge = 1 << self.random.choice((7, 8, 15, 16, 31, 32, 53, 63, 64, 127, 2039, 2040))
            return self.random.choice((1, -1)) * edge + self.random.randrange(-2, 3)
        return self.random.choice((1, -1)) * self.random.getrandbits(self.random.choice((16, 40, 62, 100, 700)))

    def float(self):
        if self.chance(0.4):
            return self.random.choice((0.0, -0.0, 1.0, -1.0, 0.1, 1e-3, 1e22, 2.0**53, 5e-324, 1.7976931348623157e308,
                                       float("inf"), float("-inf"), float("nan")))
        return struct.unpack("<d", struct.pack("<Q", self.random.getrandbits(64)))[0]

    def text(self):
        alphabets = ("abcxyz_.0189", "a.b[0]'\"\\/", "\x00\x01\t\n\r\x1f\x7f\x80", "äß日本\u2028\ufeff", "😀\U0010ffff",
                     "\ud800", "\udfff")
        length = self.random.choice((0, 1, 3, 9, 9, 40, 254, 255, 256, 300))
        text = "".join(self.random.choice(self.random.choice(alphabets)) for _ in range(length))
        # JSON cannot tell a high surrogate before a low one from the character that the two make.
        return text.replace("\ud800\udfff", "\ud800 \udfff")

    def word(self):
        """A key as programs have them."""
        return self.random.choice(("weight", "bias", "epoch", "lr", "a.b", "x", "layer", "state", "größe", "")) + \
            self.random.choice(("", "", "0", str(self.random.randrange(1000))))

    def some_bytes(self):
        data = bytes(self.random.getrandbits(8) for _ in range(self.random.choice((0, 1, 2, 3, 17, 255, 256, 300))))
        return bytearray(data) if self.chance(0.5) else data

    def torch_value(self):
        kind = self.random.randrange(4)
        if kind == 0:
            return torch.Size([self.random.randrange(2**40) for _ in range(self.random.randrange(4))])
        if kind == 1:
            return torch.device(self.random.choice(("cpu", "cuda", "cuda:0", "cuda:3", "meta", "cpu:0")))
        if kind == 2:
            return self.random.choice(self.dtypes)
        return getattr(torch, self.random.choice([name for name in LAYOUTS if hasattr(torch, name)]))

    def key(self):
        kind = self.random.randrange(12)
        if kind < 7:
            return self.word()
        if kind < 9:
            return self.random.choice((self.random.randrange(20), -5, 2**40, 2**53, -2**53, 2**53 + 1, 2**63,
                                       -2**70))
        if kind == 9:
            return self.text()
        return self.random.choice((None, True, False, 2.5, -0.0, 1e300, float("inf"), b"k", b"\x00\xff", ("a", 1), (),
                                   (1,), (None, (2, "b")), torch.float16, torch.Size([2, 3]), frozenset([7])))

    def scalar(self):
        """What may stand in a set."""
        return self.random.choice((self.number, self.text, lambda: bytes(self.some_bytes())))()

    def container(self):
        if self.has("sharing") and self.tensors and self.chance(0.1):
            return [self.random.choice(self.tensors)] * self.random.randrange(2, 4)
        kind = self.random.choice(("list", "list", "tuple", "dict", "dict", "dict", "ordered", "counter", "set",
                                   "frozenset", "set_of_sets", "loop"))
        if kind == "counter":
            return collections.Counter(self.word() for _ in range(self.random.randrange(6)))
        if kind in ("set", "frozenset"):
            items = [self.scalar() if self.chance(0.7) else (self.scalar(), self.scalar())[:self.random.randrange(3)]
                     for _ in range(self.random.randrange(5))]
            return set(items) if kind == "set" else frozenset(items)
        if kind == "set_of_sets":
            return {frozenset(self.scalar() for _ in range(self.random.randrange(3)))
                    for _ in range(self.random.randrange(3))}
        if kind == "tuple":
            return tuple(self.value() for _ in range(self.length()))
        if kind == "loop" and self.has("sharing"):  # a tuple inside itself, by way of a list
            inner = []
            loop = (self.number(), inner)
            inner.append(loop)
            return loop
        made = [] if kind in ("list", "loop") else {} if kind == "dict" else collections.OrderedDict()
        self.containers.append(made)
        self.open.append(made)
        for _ in range(self.length()):
            if isinstance(made, list):
                made.append(self.value())
            else:
                made[self.key()] = self.value()
        if kind == "ordered" and self.chance(0.2):
            made.note = self.value()  # an attribute of the dict, as _metadata is
        self.open.pop()
        return made

    def length(self):
        return self.random.choice((0, 1, 2, 3, 5, 9)) if self.budget > 0 else 0

    def object(self):
        kind = self.random.randrange(8)
        if kind == 0:
            return argparse.Namespace(lr=self.float(), name=self.text(), more=self.value())
        if kind == 1:
            return types.SimpleNamespace(a=self.number(), b=self.value())
        if kind == 2:
            return slice(self.random.randrange(9), None, self.random.randrange(1, 3))
        if kind == 3:
            return range(self.random.randrange(9), self.random.randrange(99))
        if kind == 4:
            return collections.deque([self.number(), self.value()], self.random.choice((None, 2, 5)))
        if kind == 5:
            return collections.defaultdict(self.random.choice((list, dict, int)), {self.word(): self.value()})
        return self.random.choice((torch.nn.Linear, torch.nn.functional.relu, collections.OrderedDict, list, Ellipsis,
                                   NotImplemented))

    def numpy(self):
        import numpy
        if self.chance(0.1):
            array = numpy.empty(self.shape_of(2), dtype=object)
            for place in numpy.ndindex(array.shape):
                array[place] = self.random.choice((self.number, self.text))()
            return array
        dtype = numpy.dtype(self.random.choice(NUMPY_DTYPES))
        if self.chance(0.4) and dtype.names is None:
            # NumPy drops the zeros at the end of strings, and with them what its own dtype said of the size.
            word = "".join(self.random.choice("xyzé") for _ in range(5))
            if dtype.kind in "SU":
                return numpy.str_(word) if dtype.kind == "U" else numpy.bytes_(word.encode())
            return numpy.frombuffer(self.numpy_bytes(dtype, 1), dtype)[0]
        shape = self.shape_of(4)
        count = int(numpy.prod(shape, dtype=int))
        array = numpy.frombuffer(self.numpy_bytes(dtype, count), dtype).reshape(shape).copy()
        kind = self.random.randrange(6)
        if kind == 0:
            return numpy.asfortranarray(array)
        if kind == 1:
            return array.transpose()
        if kind == 2 and array.ndim:
            return array[::-1]  # strides that no pickle has
        if kind == 3 and array.ndim > 1:
            return array[..., ::2]
        if kind == 4 and array.ndim > 2 and dtype.kind in "biufc" and dtype.itemsize <= 16 and dtype.char not in "gG":
            return array.swapaxes(0, 1)
        return array

    def shape_of(self, most_dims):
        return tuple(self.random.choice((0, 1, 1, 2, 3, 4)) for _ in range(self.random.randrange(most_dims + 1)))

    def numpy_bytes(self, dtype, count):
        """Elements of any bits, where any bits are an element."""
        if dtype.kind == "b":
            return bytes(self.random.getrandbits(1) for _ in range(count))
        if dtype.kind == "U":
            order = "big" if dtype.str[0] == ">" else "little"
            return b"".join(self.random.choice((65, 233, 0x1F600)).to_bytes(4, order)
                            for _ in range(count * dtype.itemsize // 4))
        return bytes(self.random.getrandbits(8) for _ in range(count * dtype.itemsize))

    # --- tensors

    def shape(self, most=4):
        sizes = (1, 2, 3, 5, 7, 0) if self.chance(0.15) else (1, 2, 3, 4, 5)
        return [self.random.choice(sizes) for _ in range(self.random.randrange(most + 1))]

    def dense(self, shape=None, dtype=None):
        """A tensor of any bits in a storage of its own."""
        shape = self.shape() if shape is None else shape
        dtype = self.random.choice(self.dtypes) if dtype is None else dtype
        count = 1
        for size in shape:
            count *= size
        width = torch.zeros(16, dtype=torch.uint8).view(dtype)
        width = 16 // width.numel()
        if count == 0:
            return torch.empty(shape, dtype=dtype)
        # Any byte may stand for True in a storage, but programs write 0 and 1.
        most = 2 if dtype == torch.bool and self.chance(0.9) else 256
        data = bytearray(self.random.randrange(most) for _ in range(count * width))
        flat = torch.frombuffer(data, dtype=torch.uint8).clone().view(dtype)
        return flat.view(shape)

    def tensor(self):
        if self.tensors and self.chance(0.1):
            return self.random.choice(self.tensors)  # the very same object
        if self.has("meta") and self.can.meta and self.chance(0.03):
            return torch.empty(self.shape(), device="meta", dtype=self.random.choice(self.can.real))
        if self.has("views") and self.tensors and self.chance(0.25):
            made = self.view(self.random.choice(self.tensors))
        elif self.has("views") and self.chance(0.35):
            made = self.view(self.dense())
        else:
            made = self.dense()
        made = self.dressed(made)
        self.tensors.append(made)
        return made

    def view(self, tensor):
        """One to three steps away from the tensor, in its storage."""
        made = tensor.detach()
        for _ in range(self.random.randrange(1, 4)):
            try:
                made = self.view_step(made)
            except (RuntimeError, NotImplementedError):  # not for this dtype, these strides
                pass
        return made

    def view_step(self, tensor):
        dims = tensor.dim()
        dim = self.random.randrange(dims) if dims else 0
        steps = [lambda: tensor.unsqueeze(self.random.randrange(dims + 1)),
                 lambda: tensor.expand([self.random.randrange(1, 4)] + list(tensor.shape)), lambda: tensor.reshape(-1)]
        if dims:
            size = tensor.shape[dim]
            first = self.random.randrange(size + 1)
            steps += [lambda: tensor.narrow(dim, first, self.random.randrange(size - first + 1)),
                      lambda: tensor[::self.random.randrange(1, 4)],
                      lambda: tensor.permute(self.random.sample(range(dims), dims)),
                      lambda: tensor.transpose(dim, self.random.randrange(dims)), lambda: tensor.t()]
            if size:
                steps += [lambda: tensor.select(dim, self.random.randrange(size)),
                          lambda: tensor.unfold(dim, self.random.randrange(1, size + 1), self.random.randrange(1, 3))]
        if dims > 1:
            steps.append(tensor.diagonal)
        if dims == 4:
            steps += [lambda: tensor.contiguous(memory_format=torch.channels_last)] * 4
        if tensor.numel() > 4 and dims and tensor.is_contiguous():
            steps.append(lambda: tensor.as_strided((3, 2), (self.random.randrange(2), self.random.randrange(3)),
                                                   tensor.storage_offset()))
        made = self.random.choice(steps)()
        return made if made.numel() <= 600 else tensor

    def dressed(self, tensor):
        """The tensor as a parameter, with gradients, attributes, lazy bits."""
        if self.has("lazy_bits") and self.chance(0.3) and tensor.dtype in self.can.complex:
            if self.can.conjugate and self.chance(0.5):
                return tensor.conj()
            if self.can.negative:
                # In a storage of its own: torch saves none that is complex here and real there.
                return tensor.detach().clone().conj().imag
        if self.has("parameters") and self.chance(0.25) and not tensor.is_conj() and not tensor.is_neg():
            if self.can.buffers and self.chance(0.3):
                return torch.nn.Buffer(tensor.detach(), persistent=self.chance(0.5))
            grad = tensor.dtype in self.can.real + self.can.complex and self.chance(0.5)
            if self.chance(0.6):
                tensor = torch.nn.Parameter(tensor.detach(), requires_grad=grad)
            elif grad:
                tensor = tensor.detach().requires_grad_()
        if self.has("attributes") and self.chance(0.1):
            tensor = tensor if isinstance(tensor, torch.nn.Parameter) else tensor.detach()
            tensor.note = self.text()
            if self.chance(0.3):
                tensor.scale = self.dense([2], torch.float32)
        return tensor

    def dict_of_tensors(self):
        return {self.word() + str(i): self.tensor() for i in range(self.random.choice((1, 3, 8, 20)))}

    def storage(self):
        tensor = self.dense([self.random.randrange(1, 9)], torch.float32)
        return quietly(tensor.untyped_storage if self.can.untyped and self.chance(0.5) else tensor.storage)

    def quantized(self):
        numbers = torch.randn([max(size, 1) for size in self.shape(3)] + [4])
        dtype = self.random.choice((torch.quint8, torch.qint8, torch.qint32))
        if self.chance(0.5):
            return quietly(lambda: torch.quantize_per_tensor(numbers, 0.1, 3, dtype))
        scales, zero_points = torch.rand(4) + 0.1, torch.zeros(4, dtype=torch.long)
        return quietly(lambda: torch.quantize_per_channel(numbers, scales, zero_points, numbers.dim() - 1, dtype))

    def sparse(self):
        dense = torch.randn(4, 6) * (torch.rand(4, 6) < 0.4)
        return quietly(lambda: to_layout(dense, self.random.choice(self.can.sparse)))

    # --- what programs save

    def layer(self, depth=0):
        nn = torch.nn
        r = self.random
        simple = [lambda: nn.Linear(r.randrange(1, 6), r.randrange(1, 6), bias=self.chance(0.7)),
                  lambda: nn.Conv1d(2, 3, r.randrange(1, 4), padding=1),
                  lambda: nn.Conv2d(2, 4, 3, groups=2, bias=False),
                  lambda: nn.Conv3d(1, 2, 2), lambda: nn.ConvTranspose2d(2, 3, 2, stride=2),
                  lambda: nn.BatchNorm1d(3, affine=self.chance(0.7)),
                  lambda: nn.BatchNorm2d(4, track_running_stats=self.chance(0.7)),
                  lambda: nn.LayerNorm((2, 3)), lambda: nn.GroupNorm(2, 4), lambda: nn.InstanceNorm2d(3, affine=True),
                  lambda: nn.Embedding(7, 3, padding_idx=r.choice((None, 0))), lambda: nn.EmbeddingBag(5, 2),
                  lambda: nn.LSTM(2, 3, num_layers=r.randrange(1, 3), bidirectional=self.chance(0.5)),
                  lambda: nn.GRU(2, 2), lambda: nn.RNN(2, 2), lambda: nn.MultiheadAttention(4, 2),
                  lambda: nn.PReLU(3), lambda: nn.Bilinear(2, 2, 2), lambda: nn.TransformerEncoderLayer(4, 2, 6),
                  nn.ReLU, lambda: nn.Dropout(0.25), lambda: nn.MaxPool2d(2),
                  lambda: nn.Flatten(), nn.Identity, lambda: nn.Upsample(scale_factor=2), nn.CrossEntropyLoss]
        nested = [lambda: nn.Sequential(*(self.layer(depth + 1) for _ in range(r.randrange(4)))),
                  lambda: nn.ModuleList(self.layer(depth + 1) for _ in range(r.randrange(3))),
                  lambda: nn.ModuleDict({"m%d" % i: self.layer(depth + 1) for i in range(r.randrange(3))}),
                  lambda: nn.ParameterList(nn.Parameter(torch.rand(2)) for _ in range(r.randrange(3))),
                  lambda: nn.ParameterDict({"p%d" % i: nn.Parameter(torch.rand(2)) for i in range(r.randrange(3))})]
        made = r.choice(simple + (nested * 2 if depth < 3 else []))()
        if self.chance(0.1):
            made.register_buffer("extra", torch.rand(3), persistent=self.chance(0.5))
        if self.chance(0.05):
            made.plain_tensor = torch.rand(2)
        return made

    def module(self):
        made = torch.nn.Sequential(*(self.layer() for _ in range(self.random.randrange(1, 5))))
        if self.chance(0.2):
            made.append(made[0])  # one layer under two names
        if self.chance(0.2):
            linear = torch.nn.Linear(3, 3)
            other = torch.nn.Linear(3, 3)
            other.weight = linear.weight  # tied
            made.append(linear).append(other)
        if self.chance(0.2):
            made = made.to(self.random.choice((torch.float64, torch.float16, torch.bfloat16)))
        if self.chance(0.3):
            made.eval()
        if self.chance(0.2):
            for parameter in made.parameters():
                parameter.requires_grad_(self.chance(0.5))
        return made

    def state_dict(self):
        return self.module().state_dict(**({"keep_vars": True} if self.chance(0.2) else {}))

    def training_checkpoint(self):
        made = {"epoch": self.random.randrange(100), "model_state_dict": self.state_dict()}
        if self.has("optimizers"):
            made.update(self.optimizer_states())
        if self.has("objects"):
            made["args"] = argparse.Namespace(lr=0.1, device=torch.device("cpu"), betas=(0.9, 0.999))
        if self.chance(0.5):
            made["loss"] = self.float()
            made["history"] = [self.float() for _ in range(3)]
        if self.chance(0.3):
            made["rng_state"] = torch.get_rng_state()
        return made

    def optimizer_states(self):
        network = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 2))
        optim = torch.optim
        make = self.random.choice((
            lambda p: optim.SGD(p, lr=0.1, momentum=0.9), lambda p: optim.SGD(p, lr=0.1),
            lambda p: optim.Adam(p, amsgrad=True), lambda p: optim.RMSprop(p, centered=True), optim.AdamW,
            optim.Adagrad, optim.Adadelta, optim.Adamax, optim.NAdam, optim.Rprop, optim.LBFGS, optim.ASGD))
        optimizer = make(network.parameters())
        schedule = self.random.choice((lambda: optim.lr_scheduler.StepLR(optimizer, 3),
                                       lambda: optim.lr_scheduler.ReduceLROnPlateau(optimizer),
                                       lambda: optim.lr_scheduler.CosineAnnealingLR(optimizer, 10)))()

        def closure():
            optimizer.zero_grad()
            loss = network(torch.ones(1, 3)).pow(2).sum()
            loss.backward()
            return loss

        quietly(lambda: optimizer.step(closure))
        states = {"optimizer_state_dict": optimizer.state_dict()}
        if self.chance(0.5):
            states["scheduler"] = schedule.state_dict()
        return states
