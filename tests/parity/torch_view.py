"""What `rushlight list` and `rushlight hash` must say of an object that torch.load returned.

Written from the contract of the command line and from what Python and torch say of the object, never from Rushlight's
code. describe(object) walks as `list` does:

- lists, dicts, sets and objects are entered where they are met first; tuples and frozensets wherever they are met,
  because programs do not know that they share them; whatever is inside itself ends there
- children come as arguments, items, entries, attributes, state, the order of __reduce_ex__
- modules as state_dict() walks them: parameters, buffers, other attributes (only once), submodules
"""
import base64
import collections
import ctypes
import hashlib
import math
import types
import warnings

import numpy
import torch

# In place of the position of an item in a set: Python promises no order.
IN_SET = ("item",)
MOST_EXACT = 1 << 53

# What every torch.nn.Module keeps for itself: no data of the model.
MACHINERY = {
    "_parameters", "_buffers", "_modules", "_non_persistent_buffers_set", "_backward_hooks", "_backward_pre_hooks",
    "_is_full_backward_hook", "_forward_hooks", "_forward_hooks_with_kwargs", "_forward_hooks_always_called",
    "_forward_pre_hooks", "_forward_pre_hooks_with_kwargs", "_state_dict_hooks", "_state_dict_pre_hooks",
    "_load_state_dict_pre_hooks", "_load_state_dict_post_hooks",
}

_STORAGES = tuple(getattr(torch.storage, name)
                  for name in ("TypedStorage", "_TypedStorage", "UntypedStorage", "_UntypedStorage")
                  if hasattr(torch.storage, name))


def untyped_storage(tensor):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if hasattr(tensor, "untyped_storage"):
            return tensor.untyped_storage()
        storage = tensor.storage()
        return getattr(storage, "_storage", storage)


def elements(tensor):
    """The bytes of the elements in C order, straight from memory; conjugate and negative views resolved."""
    tensor = tensor.detach().resolve_conj().resolve_neg()
    if tensor.numel() == 0:
        return b""
    width, strides = tensor.element_size(), tensor.stride()
    places = [0]
    for size, stride in zip(tensor.shape, strides):
        places = [place + i * stride for place in places for i in range(size)]
    memory = ctypes.string_at(tensor.data_ptr(), (max(places) + 1) * width)
    raw = b"".join(memory[place * width:(place + 1) * width] for place in places)
    return bytes(byte != 0 for byte in raw) if tensor.dtype == torch.bool else raw


def storage_bytes(storage):
    return ctypes.string_at(storage.data_ptr(), storage.nbytes()) if storage.nbytes() else b""


# What NumPy 2 calls otherwise than the releases before it, and the aliases that hang on the machine.
NUMPY_NAMES = {"bool": "bool_", "float128": "longdouble", "complex256": "clongdouble"}
# Those that torch has.
NUMPY_CHARS = "?bBhHiIlLqQefdFD"


def numpy_dtype_text(dtype):
    """numpy.dtype.str; of structured dtypes their fields, one level deep."""
    if dtype.names is None:
        return dtype.str.replace(">", "<")  # NumPy swaps most arrays when it loads them
    fields = []
    for word in dtype.names:
        field = dtype.fields[word][0]
        base, shape = field.subdtype or (field, None)
        # Fields of structured elements stay as they are.
        fields.append("('%s', '%s'%s)" % (word, base.str, "" if shape is None else ", %r" % (shape,)))
    return "[%s]" % ", ".join(fields)


def numpy_elements(value):
    """Little-endian, and in C order where torch has the dtype, otherwise as they are pickled."""
    if value.dtype.kind in "biufcUMm":
        value = value.astype(value.dtype.newbyteorder("<"))
    return value.tobytes("C" if value.dtype.char in NUMPY_CHARS else "A")


def class_name(kind):
    return "%s.%s" % (kind.__module__, kind.__qualname__)


def key_text(key):
    """A dict key that is neither a string nor a small integer, as a name shows it."""
    if isinstance(key, torch.Size):
        return "torch.Size([%s])" % ", ".join(map(str, key))
    if isinstance(key, tuple):
        return "(%s%s)" % (", ".join(map(key_text, key)), "," if len(key) == 1 else "")
    if isinstance(key, frozenset):
        return "frozenset({%s})" % ", ".join(map(key_text, key))
    return str(key) if isinstance(key, (torch.dtype, int)) else repr(key)


class View:
    def __init__(self):
        self.tensors = []
        self.values = []
        self.opaque = []
        self.arrays = []  # of NumPy, with their bytes
        self.sets = set()  # paths of sets
        self.storages = []  # by the number that tensors have for theirs
        self._entered = set()
        self._active = set()
        self._storages = {}
        self._kept = []  # temporaries, so that ids stay those of one object

    # --- steps

    def _key(self, path, name, key):
        if isinstance(key, str):
            return path + (key,), self._dotted(name, key)
        text = key_text(key)
        # JSON has exact integers up to 2^53 only.
        is_exact = isinstance(key, int) and not isinstance(key, bool) and abs(key) <= MOST_EXACT
        return path + (key if is_exact else ("key", text),), "%s[%s]" % (name, text)

    @staticmethod
    def _dotted(name, word):
        return name + "." + word if name else word

    def _index(self, path, name, i):
        return path + (i,), "%s[%d]" % (name, i)

    def _attribute(self, path, name, word):
        return path + (("attr", word),), self._dotted(name, word)

    # --- the walk

    def visit(self, value, path=(), name="", part="", outside=False):
        if torch.is_tensor(value):
            self._tensor(value, path, name, part, outside)
            self._enter(value, path, name, outside, self._tensor_attributes(value), once=False)
        elif isinstance(value, (list, dict, set)) and type(value) is not collections.defaultdict:
            self._enter(value, path, name, outside, self._children, once=True)
        elif isinstance(value, (tuple, frozenset)) and not isinstance(value, torch.Size):
            self._enter(value, path, name, outside, self._children, once=False)
        elif isinstance(value, (numpy.ndarray, numpy.generic)):
            self._numpy(value, path, name)
            self._enter(value, path, name, outside, self._numpy_children, once=True)
        elif isinstance(value, torch.nn.Module):
            self._module(value, path, name, part, outside)
        elif not self._leaf(value, path, name):
            if id(value) not in self._entered:
                is_dtype = isinstance(value, numpy.dtype)  # its class is one of each dtype
                self.opaque.append((path, "numpy.dtype" if is_dtype else class_name(type(value))))
            self._enter(value, path, name, outside, self._object_children, once=True)

    def _enter(self, value, path, name, outside, children, once):
        if id(value) in (self._entered if once else self._active):
            return
        self._entered.add(id(value))
        self._active.add(id(value))
        self._kept.append(value)
        for child, child_path, child_name in children(value, path, name):
            self.visit(child, child_path, child_name, "", outside)
        self._active.discard(id(value))

    def _children(self, value, path, name):
        if isinstance(value, dict):
            for key, child in list(value.items()):
                yield (child,) + self._key(path, name, key)
            for word, child in getattr(value, "__dict__", {}).items():
                yield (child,) + self._attribute(path, name, word)
        elif isinstance(value, (set, frozenset)):
            self.sets.add(path)
            for child in value:
                yield child, path + (IN_SET,), name + "[]"
        else:
            for i, child in enumerate(value):
                yield (child,) + self._index(path, name, i)

    def _tensor_attributes(self, tensor):
        # What makes a Buffer is its class, not data.
        hidden = {"_is_buffer", "persistent"} if isinstance(tensor, getattr(torch.nn, "Buffer", ())) else ()

        def children(value, path, name):
            for word, child in value.__dict__.items():
                if word not in hidden:
                    yield (child,) + self._attribute(path, name, word)
        return children

    def _object_children(self, value, path, name):
        reduced = tuple(value.__reduce_ex__(2)) + (None,) * 5
        self._kept.append(reduced)
        function, arguments, state, items, entries = reduced[:5]
        if function is not type(value):
            arguments = arguments[1:]  # copyreg.__newobj__(class, ...)
        if isinstance(value, numpy.dtype):
            arguments = reduced[1]
            items, state = state, None  # a tuple is entered as if it were the object
        if arguments:
            yield (arguments,) + self._attribute(path, name, "args")
        for word, child in (state or {}).items():
            yield (child,) + self._attribute(path, name, word)
        for i, child in enumerate(items or ()):
            yield (child,) + self._index(path, name, i)
        for key, child in entries or ():
            yield (child,) + self._key(path, name, key)

    def _module(self, module, path, name, part, outside):
        first = id(module) not in self._entered
        if id(module) in self._active or (not first and part != "_modules"):
            return
        if first:
            self.opaque.append((path, class_name(type(module))))
        self._entered.add(id(module))
        self._active.add(id(module))
        self._kept.append(module)
        state = module.__reduce_ex__(2)[2]
        self._kept.append(state)
        for attribute in ("_parameters", "_buffers", "", "_modules"):
            if attribute:
                for word, child in state[attribute].items():
                    left_out = attribute == "_buffers" and word in state.get("_non_persistent_buffers_set", ())
                    self.visit(child, path + (("attr", attribute), word), self._dotted(name, word), attribute,
                               outside or left_out)
            elif first:
                for word, child in state.items():
                    if word not in MACHINERY:
                        self.visit(child, *self._attribute(path, name, word), part="", outside=True)
        self._active.discard(id(module))

    # --- NumPy

    def _numpy(self, value, path, name):
        text = numpy_dtype_text(value.dtype)
        if isinstance(value, numpy.generic):
            kind = NUMPY_NAMES.get(type(value).__name__, type(value).__name__)
            found = self._numpy_scalar(value)
        else:
            kind, found = "ndarray", None
        if found is None:
            is_array = isinstance(value, numpy.ndarray)
            order = "C" if not is_array or value.flags.c_contiguous else "F" if value.flags.f_contiguous else "K"
            found = ("ndarray", {"dtype": text, "shape": tuple(value.shape), "order": order,
                                 "item_bytes": value.dtype.itemsize})
            if not value.dtype.hasobject:
                self.arrays.append((name, text, tuple(value.shape), hashlib.sha256(numpy_elements(value)).hexdigest()))
        self.values.append((path, name, "%s numpy.%s %s" % (found[0], kind, text), found[1]))

    def _numpy_scalar(self, value):
        kind = value.dtype.kind
        if value.dtype.char in "gG":  # long doubles
            return None
        if kind == "b":
            return "bool", bool(value)
        if kind in "iu":
            return "int", int(value) if abs(int(value)) <= MOST_EXACT else str(int(value))
        if kind == "f":
            return "float", self._float(float(value))
        if kind == "c":
            return "complex", (self._float(float(value.real)), self._float(float(value.imag)))
        if kind == "U":
            return "str", str(value)
        if kind == "S":
            return "bytes", base64.b64encode(bytes(value)).decode()
        return None

    def _numpy_children(self, value, path, name):
        if isinstance(value, numpy.ndarray) and value.dtype.kind == "O":
            for i, child in enumerate(value.flat):
                yield (child,) + self._index(path, name, i)

    # --- leaves

    def _leaf(self, value, path, name):
        def found(kind, json):
            self.values.append((path, name, kind, json))
            return True

        if value is None:
            return found("none", None)
        if isinstance(value, bool):
            return found("bool", value)
        if isinstance(value, int):
            return found("int", value if abs(value) <= MOST_EXACT else str(value))
        if isinstance(value, float):
            return found("float", self._float(value))
        if isinstance(value, complex):
            return found("complex", (self._float(value.real), self._float(value.imag)))
        if isinstance(value, str):
            return found("str", value)
        if isinstance(value, (bytes, bytearray)):
            return found(type(value).__name__, base64.b64encode(value).decode())
        if isinstance(value, torch.Size):
            return found("size", tuple(value))
        if isinstance(value, torch.dtype):
            return found("dtype", str(value).replace("torch.", ""))
        if isinstance(value, torch.device):
            return found("device", str(value))
        if isinstance(value, torch.layout):
            return found("global", str(value))
        if isinstance(value, type):
            return found("global", class_name(value))
        if isinstance(value, (types.FunctionType, types.BuiltinFunctionType)):
            return found("global", "%s.%s" % (value.__module__, value.__qualname__))
        if value is Ellipsis or value is NotImplemented:
            return found("global", "builtins.%r" % value)
        if isinstance(value, _STORAGES):
            return found("storage", None)  # how one is written is not in the contract
        return False

    @staticmethod
    def _float(value):
        if math.isnan(value):
            return "NaN"
        if math.isinf(value):
            return "Infinity" if value > 0 else "-Infinity"
        return value.hex()  # -0.0 is not 0.0

    # --- tensors

    def storage_number(self, tensor):
        """The same number for the same storage, however it is reached."""
        storage = untyped_storage(tensor)
        self._kept.append(storage)
        number = self._storages.setdefault(storage._cdata, len(self.storages))
        if number == len(self.storages):
            self.storages.append(storage)
        return number

    def _tensor(self, tensor, path, name, part, outside):
        self._kept.append(tensor)
        layout = str(tensor.layout).replace("torch.", "")
        if layout != "strided":
            return self._sparse(tensor, path, name, part, outside, layout)
        is_meta = tensor.device.type == "meta"
        kind = {"_parameters": "parameter", "_buffers": "buffer"}.get(part)
        if kind is None:
            is_buffer = isinstance(tensor, getattr(torch.nn, "Buffer", ()))
            kind = "parameter" if isinstance(tensor, torch.nn.Parameter) else "buffer" if is_buffer else "tensor"
        entry = {
            "name": name, "path": path, "dtype": str(tensor.dtype).replace("torch.", ""), "shape": tuple(tensor.shape),
            "strides": tuple(tensor.stride()), "storage_offset": tensor.storage_offset(), "device": str(tensor.device),
            "requires_grad": tensor.requires_grad, "class": kind, "layout": layout,
            "size_bytes": tensor.numel() * tensor.element_size(),
            "storage": None if is_meta else self.storage_number(tensor), "quantizer": None, "persistent": not outside,
            "digest": "", "state": "unverified" if is_meta else "intact",  # meta tensors have no bytes to verify
        }
        if tensor.is_quantized:
            entry["quantizer"] = str(tensor.qscheme()).replace("torch.", "")
            tensor = tensor.int_repr()
        if not is_meta:
            entry["digest"] = hashlib.sha256(elements(tensor)).hexdigest()
        self.tensors.append(entry)

    def _sparse(self, tensor, path, name, part, outside, layout):
        if layout == "sparse_coo":
            parts = {"indices": tensor._indices(), "values": tensor._values()}
        elif layout in ("sparse_csr", "sparse_bsr"):
            parts = {"crow_indices": tensor.crow_indices(), "col_indices": tensor.col_indices()}
        else:
            parts = {"ccol_indices": tensor.ccol_indices(), "row_indices": tensor.row_indices()}
        if layout != "sparse_coo":
            parts["values"] = tensor.values()
        for word, component in parts.items():
            self._tensor(component.detach(), *self._attribute(path, name, word), part=part, outside=outside)


def describe(value):
    view = View()
    view.visit(value)
    return view
