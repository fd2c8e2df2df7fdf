"""The machine code that numba makes of a kernel, as text, with the place of each instruction in memory.

Owns having numba say which line of the source an instruction comes from, LLVM say on stderr what it could not
do, and the form of the listing. The code is what numba makes anyway. LLVM writes it as assembly, once, and what is
run is assembled from that: made a second time, it would differ in places.

A listing is lines of text. `function ADDRESS SYMBOL` begins one, in hexadecimal; an instruction has its offset
from that address before it; labels and the directives `.file` and `.loc` stand as LLVM writes them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np

MAX_BYTES = 8 * 2**20
"""Of a listing; what is longer is cut off."""
_REMARKS = (
    "-pass-remarks=loop-vectorize|slp-vectorizer",
    "-pass-remarks-missed=loop-vectorize|licm",
    "-pass-remarks-analysis=loop-vectorize",
)
_FUNCTION = re.compile(r"\t\.type\t(.+),@function")
_INSTRUCTION = re.compile(r"\t[a-z]")
_LINES = ("\t.loc\t", "\t.file\t")
_SECTION = re.compile(r"\t\.(section|text|data|bss)\b")
_OFFSETS = ".offsets"


class Listing:
    """What numba compiles from now on; imports numba."""

    def __init__(self) -> None:
        from llvmlite import binding
        from numba.core.cpu import CPUTargetOptions
        from numba.core.debuginfo import DIBuilder
        from numba.core.registry import cpu_target

        self._binding: Any = binding
        self._codegen: Any = cpu_target.target_context.codegen()
        self._library: Any = type(self._codegen)._library_class
        self._modules: list[_Module] = []
        binding.initialize_native_asmparser()
        for option in _REMARKS:
            binding.set_option("", option)
        _note_lines(CPUTargetOptions, DIBuilder)
        self._codegen._engine.set_object_cache(self._library._object_compiled_hook, self._made)

    def _made(self, module: Any) -> bytes | None:
        """The machine code of a module, which LLVM asks for before it makes it; None where it shall."""
        kept: bytes | None = self._library._object_getbuffer_hook(module)
        if kept is not None:
            return kept
        listed = _Module(self._codegen._tm.emit_assembly(module))
        if not listed.symbols:  # none that is written as on Linux
            return None
        code: bytes = self._assembled(module.triple, listed.assembly())
        found = self._binding.ObjectFileRef.from_data(code).sections()
        listed.offsets = next(
            _words(part.data()) for part in found if part.name() in (_OFFSETS, _OFFSETS.encode())
        )
        self._modules.append(listed)
        self._library._object_compiled_hook(module, code)
        return code

    def _assembled(self, triple: str, assembly: str) -> Any:
        quoted = re.sub(rb'[^ -~]|[\\"]', lambda found: b"\\%02X" % ord(found[0]), assembly.encode()).decode()
        module = self._binding.parse_assembly(f'target triple = "{triple}"\nmodule asm "{quoted}"\n')
        return self._codegen._tm.emit_object(module)

    def text(self) -> np.ndarray[Any, Any]:
        """The listing so far, as bytes."""
        told = "\n".join(self._told()).encode("utf-8", "replace")[:MAX_BYTES]
        return np.frombuffer(told, np.uint8)

    def _told(self) -> Iterator[str]:
        """A function that several modules have is run where it was compiled first."""
        known: set[str] = set()
        for module in self._modules:
            yield from module.files
            for symbol, lines in module.functions():
                if symbol not in known:
                    known.add(symbol)
                    yield f"function {self._codegen._engine.get_function_address(symbol.strip(_QUOTE)):x} {symbol}"
                    yield from lines


_QUOTE = '"'


def _words(data: bytes) -> list[int]:
    return [int(word) for word in np.frombuffer(data, np.uint32)]


class _Module:
    """The assembly of one module: what is run of it, and what is listed."""

    def __init__(self, assembly: str) -> None:
        self.symbols = set(_FUNCTION.findall(assembly))
        self._lines = list(_without_notes(assembly.splitlines()))
        self.files = [line for line in self._lines if line.startswith("\t.file\t")]
        self.offsets: list[int] = []
        """Of every instruction, from the label of its function."""

    def _placed(self) -> Iterator[tuple[str, str]]:
        """Every line, with the function that it is in, '' between them."""
        symbol = ""
        for line in self._lines:
            if line.endswith(":") and line[:-1] in self.symbols:
                symbol = line[:-1]
            elif line.startswith(".Lfunc_end"):
                symbol = ""
            yield symbol, line

    def assembly(self) -> str:
        """What is assembled: a label before every instruction, and at the end its distance from its function."""
        marked, distances = list[str](), list[str]()
        for symbol, line in self._placed():
            if symbol and _INSTRUCTION.match(line):
                label = f".Lplace{len(distances)}"
                distances.append(f"\t.long\t{label}-{symbol}")
                marked.append(f"{label}:")
            marked.append(line)
        return "\n".join([*marked, f'\t.section\t{_OFFSETS},"",@progbits', *distances])

    def functions(self) -> Iterator[tuple[str, list[str]]]:
        """What is listed of each function."""
        offsets, parts = iter(self.offsets), dict[str, list[str]]()
        for symbol, line in self._placed():
            if symbol and _INSTRUCTION.match(line):
                parts.setdefault(symbol, []).append(f"{next(offsets):x}{line}")
            elif symbol and (line.endswith(":") or line.startswith(_LINES)):
                parts.setdefault(symbol, []).append(line)
        yield from parts.items()


def _without_notes(lines: list[str]) -> Iterator[str]:
    """The lines without the sections for debuggers, which are most of them."""
    is_noted = False
    for line in lines:
        if _SECTION.match(line):
            is_noted = ".debug_" in line
        if not is_noted:
            yield line


def _note_lines(options: Any, builder: Any) -> None:
    """Have numba note the lines of the source, and nothing else that it does for debuggers.

    Those would have it keep variables in memory, and check bounds. LLVM is told that the notes are whole all the
    same: it aborts where functions with lines alone are put together from several modules.
    """
    finalize, compile_unit = options.finalize, builder._di_compile_unit

    def finalized(self: Any, flags: Any, given: Any) -> None:
        finalize(self, flags, given)
        flags.debuginfo = True
        flags.dbg_directives_only = True

    def whole_compile_unit(self: Any) -> Any:
        self.emission_kind = "FullDebug"
        return compile_unit(self)

    options.finalize = finalized
    builder._di_compile_unit = whole_compile_unit
