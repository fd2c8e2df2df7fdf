"""What a kernel may use of numba's `intrinsic` and of llvmlite, where its target says that it uses intrinsics.

Owns that list. It keeps a kernel to computing, by what it says: no symbol of a library, no assembly, no text that
is taken for code. It does not keep it to its own memory: what loads from an address can load from any.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

from pytest_lance_autoresearch.target_files.offered import OFFERED, words

MODULE = "llvmlite.ir"
"""What such a kernel may import in addition."""
_IR = words(
    "ArrayType Constant DoubleType FloatType FunctionType HalfType IntType LiteralStructType PointerType "
    "Undefined VectorType VoidType"
)
_BUILT_BY = frozenset(f"{MODULE}.{name}" for name in _IR)
OFFERED_TOO: Mapping[str, frozenset[str]] = {
    **OFFERED,
    "numba.extending": OFFERED["numba.extending"] | {"intrinsic"},
    "llvmlite": frozenset({"ir"}),
    MODULE: _IR,
}
CLOSED = words(
    "DIBuilder active_code_library add_debug_info add_dynamic_addr add_global add_linking_libs add_metadata "
    "add_named_metadata asm branch_indirect call_external_function call_function_pointer call_internal "
    "call_internal_no_propagate call_unresolved codegen comment compile_internal compile_subroutine "
    "create_cfunc_wrapper create_cpython_wrapper create_module debug_print declare_env_global "
    "declare_external_function declare_function environment fndesc function functions get_bound_function "
    "get_env_body get_env_manager get_executable get_function get_generator_desc get_generator_impl "
    "get_generator_state get_global get_named_metadata get_python_api get_ufunc_info global_values globals "
    "insert_attributes insert_func_defn insert_function insert_generator insert_global insert_user_function "
    "install_possible_conversions install_registry inttoptr invoke landingpad library "
    "load_additional_registries load_reg mangler module nonconst_module_attrs nrt parent post_lowering "
    "print_string printf push_code_library refresh remove_user_function resolve_function_type resume "
    "set_metadata store_reg subtarget target_data with_aot_codegen"
)
"""Attributes of a builder, of what it builds, and of numba's contexts that reach symbols, code or Python."""
_ONLY_FOR = {"declare_intrinsic": "module", "magic_tuple": "codegen"}
"""What two of them are for: `builder.module.declare_intrinsic` and `context.codegen().magic_tuple`."""
_MACHINE = (
    "llvm.addressofreturnaddress",
    "llvm.eh.",
    "llvm.frameaddress",
    "llvm.localaddress",
    "llvm.read_register",
    "llvm.read_volatile_register",
    "llvm.readcyclecounter",
    "llvm.readsteadycounter",
    "llvm.returnaddress",
    "llvm.sponentry",
    "llvm.thread.pointer",
    "llvm.write_register",
    "llvm.x86.rdpmc",
    "llvm.x86.rdtsc",
)
"""How intrinsics of LLVM begin that read clocks, the stack or registers by name."""


def permitted(tree: ast.Module) -> set[int]:
    """The nodes of closed attributes that are used for what they are for."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and (closed := _ONLY_FOR.get(node.attr)):
            value = node.value.func if isinstance(node.value, ast.Call) else node.value
            if isinstance(value, ast.Attribute) and value.attr == closed:
                found.add(id(value))
        if isinstance(node, ast.Call) and _named_intrinsic(node):
            found.add(id(node.func))
    return found


def about_call(node: ast.Call, path: str) -> Iterator[str]:
    """What is wrong with a call of something of that dotted name."""
    if (name := _named_intrinsic(node)).startswith(_MACHINE):
        yield f"uses '{name}'; a kernel reads no clocks, no stack and no registers by their names"
    given = [*node.args, *(keyword.value for keyword in node.keywords)]
    if path in _BUILT_BY and any(map(_is_text, given)):
        yield f"gives text to '{path}'; expected numbers, since text would be taken for code"


def about_attribute(node: ast.Attribute, *, is_permitted: bool) -> Iterator[str]:
    """What is wrong with an attribute of whatever it may be."""
    if is_permitted:
        return
    if node.attr == "declare_intrinsic":
        yield "uses '.declare_intrinsic' for what is no intrinsic; expected a plain string, 'llvm.' and more"
    elif node.attr in CLOSED:
        yield f"uses '.{node.attr}'; an intrinsic reaches no symbols, no code and no Python"


def _named_intrinsic(node: ast.Call) -> str:
    """The intrinsic of LLVM that a call declares by a name that is written out; '' for any other call."""
    match node:
        case ast.Call(
            func=ast.Attribute(attr="declare_intrinsic"), args=[ast.Constant(value=str() as name), *_]
        ) if name.startswith("llvm."):
            return name
    return ""


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))
