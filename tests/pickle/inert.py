"""CPython's own unpickler, made inert: names, calls and persistent ids stay data, as they do in src/pickle.

dump(stream) gives what tests/pickle/describe.cpp's dump_json() writes, as Python objects. Arguments, numbers, texts, the
stack, marks, frames and the memo are CPython's business (Lib/pickle.py, class _Unpickler); only what would run code or
lose identity is replaced here.
"""
import io
import pickle
import struct


class Refused(Exception):
    """A stream that CPython could run but that src/pickle refuses by its own rules (format-spec/03-pickle)."""


class Global:
    def __init__(self, module, name):
        self.module, self.name = module, name


class ByteString:
    def __init__(self, data):
        self.data = data


class Pairs:
    def __init__(self, values=()):
        self.values = list(values)


class Items:
    def __init__(self, kind, values=()):
        self.kind, self.values = kind, list(values)


class Call:
    def __init__(self, kind, function, arguments, keywords=None):
        self.kind, self.function, self.arguments, self.keywords = kind, function, arguments, keywords
        self.items, self.pairs, self.states = [], [], []


class Persistent:
    def __init__(self, argument):
        self.argument, self.states = argument, []


def need(condition, what):
    if not condition:
        raise Refused(what)


def check_callable(value):
    need(isinstance(value, (Global, Call, Persistent)), "only globals and objects can be called")


class InertUnpickler(pickle._Unpickler):
    dispatch = dict(pickle._Unpickler.dispatch)

    def find_class(self, module, name):
        return Global(module, name)

    def persistent_load(self, pid):
        return Persistent(pid)

    def _decode_string(self, value):
        return ByteString(value)

    def get_extension(self, code):
        raise Refused("extension code")

    def load_stop(self):
        need(not self.metastack and len(self.stack) == 1, "STOP")
        raise pickle._Stop(self.stack.pop())

    def load_stack_global(self):
        name, module = self.stack.pop(), self.stack.pop()
        texts = [text.data.decode("ascii") if isinstance(text, ByteString) else text for text in (module, name)]
        need(all(isinstance(text, str) for text in texts), "STACK_GLOBAL")
        self.append(Global(*texts))

    def load_reduce(self):
        self.call("reduce", self.stack.pop())

    def load_newobj(self):
        self.call("newobj", self.stack.pop())

    def load_newobj_ex(self):
        keywords = self.stack.pop()
        need(isinstance(keywords, Pairs), "keywords")
        self.call("newobj_ex", self.stack.pop(), keywords)

    def call(self, kind, arguments, keywords=None):
        function = self.stack.pop()
        check_callable(function)
        need(isinstance(arguments, tuple), "arguments")
        self.append(Call(kind, function, arguments, keywords))

    def load_inst(self):
        module = self.readline()[:-1].decode("utf-8")
        name = self.readline()[:-1].decode("utf-8")
        values = self.pop_mark()
        self.append(Call("inst", Global(module, name), tuple(values)))

    def load_obj(self):
        values = self.pop_mark()
        check_callable(values[0])
        self.append(Call("obj", values[0], tuple(values[1:])))

    def load_empty_dictionary(self):
        self.append(Pairs())

    def load_dict(self):
        values = self.pop_mark()
        need(len(values) % 2 == 0, "odd")
        self.append(Pairs(values))

    def load_empty_set(self):
        self.append(Items("set"))

    def load_frozenset(self):
        values = self.pop_mark()  # which exchanges self.append
        self.append(Items("frozenset", values))

    def load_append(self):
        value = self.stack.pop()
        self.extend([value])

    def load_appends(self):
        self.extend(self.pop_mark())

    def extend(self, values):
        target = self.stack[-1]
        need(isinstance(target, (list, Call)), "APPEND")
        (target if isinstance(target, list) else target.items).extend(values)

    def load_setitem(self):
        value, key = self.stack.pop(), self.stack.pop()
        self.update([key, value])

    def load_setitems(self):
        self.update(self.pop_mark())

    def update(self, values):
        need(len(values) % 2 == 0, "odd")
        target = self.stack[-1]
        need(isinstance(target, (Pairs, Call)), "SETITEM")
        (target.values if isinstance(target, Pairs) else target.pairs).extend(values)

    def load_additems(self):
        values = self.pop_mark()
        target = self.stack[-1]
        need(isinstance(target, Call) or isinstance(target, Items) and target.kind == "set", "ADDITEMS")
        (target.items if isinstance(target, Call) else target.values).extend(values)

    def load_build(self):
        state = self.stack.pop()
        target = self.stack[-1]
        need(isinstance(target, (Call, Persistent)), "BUILD")
        target.states.append(state)

    for _name, _opcode in (("stop", pickle.STOP), ("stack_global", pickle.STACK_GLOBAL), ("reduce", pickle.REDUCE),
                           ("newobj", pickle.NEWOBJ), ("newobj_ex", pickle.NEWOBJ_EX), ("inst", pickle.INST),
                           ("obj", pickle.OBJ), ("empty_dictionary", pickle.EMPTY_DICT), ("dict", pickle.DICT),
                           ("empty_set", pickle.EMPTY_SET), ("frozenset", pickle.FROZENSET),
                           ("append", pickle.APPEND), ("appends", pickle.APPENDS), ("setitem", pickle.SETITEM),
                           ("setitems", pickle.SETITEMS), ("additems", pickle.ADDITEMS), ("build", pickle.BUILD)):
        dispatch[_opcode[0]] = locals()["load_" + _name]


def load(stream):
    return InertUnpickler(io.BytesIO(stream)).load()


def text(characters):
    return "".join(c if " " <= c <= "~" and c not in '"\\' else "\\u{%x}" % ord(c) for c in characters)


def dump(stream):
    numbers, queue = {}, []

    def reference(value):
        if value is None:
            return ["none"]
        if isinstance(value, bool):
            return ["bool", value]
        if isinstance(value, int):
            return ["int", str(value)]
        if isinstance(value, float):
            return ["float", struct.pack(">d", value).hex()]
        if isinstance(value, str):
            return ["str", text(value)]
        if isinstance(value, ByteString):
            return ["byte_string", text(value.data.decode("latin-1"))]
        if isinstance(value, (bytes, bytearray)):
            return [type(value).__name__, text(value.decode("latin-1"))]
        if isinstance(value, Global):
            return ["global", text(value.module), text(value.name)]
        if value == () and isinstance(value, tuple):
            return ["empty_tuple"]
        if id(value) not in numbers:
            numbers[id(value)] = len(queue)
            queue.append(value)
        return ["ref", numbers[id(value)]]

    def references(values):
        return [reference(value) for value in values]

    def container(value):
        if isinstance(value, (list, tuple)):
            return [type(value).__name__, references(value)]
        if isinstance(value, Items):
            return [value.kind, references(value.values)]
        if isinstance(value, Pairs):
            return ["dict", references(value.values)]
        if isinstance(value, Persistent):
            return ["persistent", reference(value.argument), references(value.states)]
        return ["call", value.kind, reference(value.function), reference(value.arguments),
                None if value.keywords is None else reference(value.keywords), references(value.items),
                references(value.pairs), references(value.states)]

    root = reference(load(stream))
    nodes = []
    for value in queue:  # grows while it is walked
        nodes.append(container(value))
    return {"root": root, "nodes": nodes}
