"""What modules offer a kernel leads nowhere else, whatever version of them is installed."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from numba import types
from numba.core.cpu import CPUContext
from numba.core.typing.context import Context

from pytest_lance_autoresearch.target_files import intrinsics, offered, policy

AT_AN_ADDRESS = {"symbol", "addr", "address", "intaddr", "get_pointer"}
"""What something is given that calls foreign code."""
OPEN = offered.words(
    "add addrspacecast alloca allow_dynamic_globals and_ aot_mode append_basic_block apply_target_attributes "
    "ashr assume atomic_rmw auto_parallel basic_block basic_blocks bitcast bitreverse block branch bswap "
    "build_list build_map build_set calc_array_sizeof call call_conv can_convert cast cbranch cmpxchg "
    "convert_from_fp16 convert_to_fp16 ctlz ctpop cttz deduplicate_name descr descr_body descr_prototype "
    "enable_boundscheck enable_debuginfo enable_nrt entry_basic_block error_model explain_function_type "
    "extract_element extract_value fadd fastmath fcmp_ordered fcmp_unordered fdiv fence "
    "find_matching_getattr_template fma fmul fneg fpext fptosi fptoui fptrunc frem fsub function_type "
    "generic_compare gep get_abi_alignment get_abi_sizeof get_arg_packer get_argument_type "
    "get_argument_value get_c_value get_constant get_constant_generic get_constant_null get_constant_undef "
    "get_data_as_value get_data_packer get_data_type get_dummy_type get_dummy_value get_env_name "
    "get_external_function_type get_function_pointer_type get_getattr get_helper_class get_identified_types "
    "get_preferred_array_alignment get_reference get_return_type get_return_value get_returned_value "
    "get_setattr get_struct_type get_unique_name get_value_as_argument get_value_as_data get_value_type "
    "goto_block goto_entry_block icmp_signed icmp_unsigned if_else if_then implement_pow_as_math_call "
    "implement_powi_as_math_call init insert_basic_block insert_const_bytes insert_const_string "
    "insert_element insert_unique_const insert_value is_declaration is_terminated is_true load load_atomic "
    "lshr make_array make_complex make_constant_array make_data_helper make_helper make_optional_none "
    "make_optional_value make_tuple mul name name_prefix neg not_ or_ pack_value pair_first pair_second phi "
    "populate_array position_after position_at_end position_at_start position_before ptrtoint remove replace "
    "resolve_argument_type resolve_delitem resolve_getattr resolve_module_constants resolve_overload "
    "resolve_setattr resolve_setitem resolve_static_getitem resolve_static_setitem resolve_value_type "
    "resolve_value_type_prefer_literal ret ret_void sadd_with_overflow sdiv select sentry_record_alignment "
    "sext shl shuffle_vector sitofp smul_with_overflow srem ssub_with_overflow store store_atomic "
    "str_ditok_operands strict_alignment sub switch trunc uadd_with_overflow udiv uitofp umul_with_overflow "
    "unify_pairs unify_types unpack_value unreachable urem usub_with_overflow xor zext"
)
"""Of what an intrinsic is handed, what builds values, types and the flow between blocks."""


def reached() -> Iterator[tuple[str, Any]]:
    """Everything that the reader lets through, by its dotted name."""
    ends: list[tuple[str, Any]] = [(name, importlib.import_module(name)) for name in policy.MODULES]
    while ends:
        path, found = ends.pop()
        yield path, found
        if isinstance(found, ModuleType):
            names = [name for name in dir(found) if not name.startswith("__")]
            allowed = [
                name
                for name in names
                if policy.violation(f"import {path.split('.')[0]}\n{path}.{name}.of_it".encode()) == ""
            ]
            ends += [(f"{path}.{name}", getattr(found, name, None)) for name in allowed]


def parameters(found: Any) -> set[str]:
    try:
        return set(inspect.signature(found.__init__ if inspect.isclass(found) else found).parameters)
    except (TypeError, ValueError):
        return set()


def test_no_other_module_and_no_symbol_is_reached() -> None:
    named = dict(reached())
    assert len(named) > 1000
    for path, found in named.items():
        if isinstance(found, ModuleType):
            assert found.__name__.split(".")[0] in policy.MODULES, path
            assert offered.is_module(path) or found.__name__ in policy.MODULES, path
        elif path.startswith("numba."):
            assert not parameters(found) & AT_AN_ADDRESS, path


@pytest.mark.parametrize("path", ["numba.types.ExternalFunction", "numba.types.ExternalFunctionPointer"])
def test_what_calls_foreign_code_is_known_by_its_parameters(path: str) -> None:
    assert parameters(getattr(types, path.rpartition(".")[2])) & AT_AN_ADDRESS


@pytest.mark.parametrize("module", offered.OFFERED)
def test_what_is_listed_is_there(module: str) -> None:
    """But for what numba has only in some versions."""
    found = {"numba.types": "numba.core.types"}.get(module, module)
    lacking = {name for name in offered.OFFERED[module] if not hasattr(importlib.import_module(found), name)}
    assert lacking <= {"bool", "c8", "c16"}


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("numba.njit", ""),
        ("numba.njit.py_func.core", ""),
        ("numba.__version__", ""),
        ("numba.typed.List.empty_list", ""),
        ("numba.typed.importlib", "'numba.typed.importlib'; of 'numba.typed' a kernel may use Dict, List"),
        ("numpy.random.default_rng", ""),
        ("numpy.float32.core", ""),
        ("numpy.nothing_yet.at_all", ""),
        ("numpy.random.mtrand", "'numpy.random.mtrand', which is no public name of 'numpy.random'"),
        ("numpy.matlib", "'numpy.matlib', which is no public name of 'numpy'"),
        ("collections.abc.Iterator", ""),
        ("math.sqrt", ""),
        ("functools.GenericAlias", "'functools.GenericAlias', which is no public name of 'functools'"),
        ("__future__.annotations", ""),
    ],
)
def test_what_lies_beyond_is_named(path: str, said: str) -> None:
    assert offered.beyond(path) == said


def test_another_name_for_a_listed_function_is_public(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `numpy.abs` in numpy 1.24; what is listed under no name is not, and a value is not a function."""
    library = ModuleType("listed")
    vars(library).update(__all__=["absolute", "one"], absolute=abs, abs=abs, length=len, one=1, eins=1)
    monkeypatch.setitem(sys.modules, "listed", library)
    names = ("absolute", "abs", "one", "length", "eins")
    assert [offered._is_public(library, "listed", name) for name in names] == [True, True, True, False, False]


def test_every_attribute_that_an_intrinsic_is_handed_is_open_or_closed() -> None:
    """Those of a new version must be looked at before they are used."""
    from llvmlite import ir

    handed = [ir.IRBuilder, ir.Module, ir.Function, ir.Block, CPUContext, Context]
    names = {name for kind in handed for name in dir(kind) if not name.startswith("_")}
    assert names - intrinsics.CLOSED - OPEN == {"declare_intrinsic"}
    assert not OPEN & intrinsics.CLOSED
