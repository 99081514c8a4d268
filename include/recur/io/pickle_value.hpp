// SPDX-License-Identifier: MIT
//
// What a pickle of torch.save is made of: values, and the few names of Python that it may hold.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <limits>
#include <string_view>
#include <vector>

#include "recur/config.hpp"

namespace recur::inline RECUR_ABI::detail {

/// What a pickle may name.
enum class PickleName : std::uint8_t {
  ordered_dict,      ///< collections.OrderedDict
  rebuild_tensor,    ///< (storage, offset, shape, strides, requires_grad, hooks, [metadata])
  rebuild_tensor_3,  ///< (storage, offset, shape, strides, requires_grad, hooks, dtype, [metadata])
  rebuild_parameter,  ///< (tensor, requires_grad, hooks, [state])
  rebuild_from_type,  ///< (rebuild_…, class, arguments, state)
  storage,            ///< the class of a storage, with its dtype
  dtype,
  inert,  ///< whatever comes of it holds no tensor and is not looked at
};

struct KnownPickleName {
  std::string_view module;
  std::string_view name;
  PickleName meaning;
  std::string_view dtype = "";  ///< its name in safetensors; "": an untyped storage
};

inline constexpr auto known_pickle_names = std::to_array<KnownPickleName>({
    {"collections", "OrderedDict", PickleName::ordered_dict},
    {"torch._utils", "_rebuild_tensor_v2", PickleName::rebuild_tensor},
    {"torch._utils", "_rebuild_tensor_v3", PickleName::rebuild_tensor_3},
    {"torch._utils", "_rebuild_parameter", PickleName::rebuild_parameter},
    {"torch._utils", "_rebuild_parameter_with_state", PickleName::rebuild_parameter},
    {"torch._tensor", "_rebuild_from_type_v2", PickleName::rebuild_from_type},
    {"torch", "DoubleStorage", PickleName::storage, "F64"},
    {"torch", "FloatStorage", PickleName::storage, "F32"},
    {"torch", "HalfStorage", PickleName::storage, "F16"},
    {"torch", "BFloat16Storage", PickleName::storage, "BF16"},
    {"torch", "LongStorage", PickleName::storage, "I64"},
    {"torch", "IntStorage", PickleName::storage, "I32"},
    {"torch", "ShortStorage", PickleName::storage, "I16"},
    {"torch", "CharStorage", PickleName::storage, "I8"},
    {"torch", "ByteStorage", PickleName::storage, "U8"},
    {"torch", "BoolStorage", PickleName::storage, "BOOL"},
    {"torch", "ComplexFloatStorage", PickleName::storage, "C64"},
    {"torch", "ComplexDoubleStorage", PickleName::storage, "complex128"},
    {"torch.storage", "UntypedStorage", PickleName::storage, ""},
    {"torch", "float64", PickleName::dtype, "F64"},
    {"torch", "float32", PickleName::dtype, "F32"},
    {"torch", "float16", PickleName::dtype, "F16"},
    {"torch", "bfloat16", PickleName::dtype, "BF16"},
    {"torch", "float8_e4m3fn", PickleName::dtype, "F8_E4M3"},
    {"torch", "float8_e5m2", PickleName::dtype, "F8_E5M2"},
    {"torch", "float8_e8m0fnu", PickleName::dtype, "F8_E8M0"},
    {"torch", "int64", PickleName::dtype, "I64"},
    {"torch", "int32", PickleName::dtype, "I32"},
    {"torch", "int16", PickleName::dtype, "I16"},
    {"torch", "int8", PickleName::dtype, "I8"},
    {"torch", "uint64", PickleName::dtype, "U64"},
    {"torch", "uint32", PickleName::dtype, "U32"},
    {"torch", "uint16", PickleName::dtype, "U16"},
    {"torch", "uint8", PickleName::dtype, "U8"},
    {"torch", "bool", PickleName::dtype, "BOOL"},
    {"torch", "complex64", PickleName::dtype, "C64"},
    {"torch", "complex128", PickleName::dtype, "complex128"},
    {"torch", "Size", PickleName::inert},
    {"torch", "device", PickleName::inert},
    {"torch", "Tensor", PickleName::inert},
    {"torch.nn.parameter", "Parameter", PickleName::inert},
    {"torch.nn.parameter", "Buffer", PickleName::inert},
    {"collections", "Counter", PickleName::inert},
    {"_codecs", "encode", PickleName::inert},  // bytes, in protocol 2
    {"__builtin__", "set", PickleName::inert},
    {"__builtin__", "complex", PickleName::inert},
    {"__builtin__", "bytearray", PickleName::inert},
    {"builtins", "set", PickleName::inert},
    {"builtins", "complex", PickleName::inert},
    {"builtins", "bytearray", PickleName::inert},
});

enum class PickleKind : std::uint8_t {
  none,
  boolean,
  integer,
  real,
  text,
  tuple,
  list,
  dict,     ///< items: key, value, key, value, …
  name,     ///< known_pickle_names[name]
  call,     ///< of rebuild_…; items: the arguments
  storage,  ///< items: "storage", its class, its key, where it was, number of elements
  inert,    ///< something without tensors
};

/// The place of a value in its Pickle: values may be shared, and may even contain themselves.
using PickleRef = std::uint32_t;
/// The place of none.
inline constexpr PickleRef no_pickle_value = std::numeric_limits<PickleRef>::max();

struct PickleValue {
  PickleKind kind = PickleKind::none;
  std::uint8_t name = 0;       ///< of a name or a call
  std::int64_t integer = 0;    ///< 0 or 1 for boolean; the bits of a real number
  std::string_view text = {};  ///< in the memory of the file; perhaps not UTF-8
  std::vector<PickleRef> items = {};

  const KnownPickleName& known() const { return known_pickle_names[name]; }
  double real() const { return std::bit_cast<double>(integer); }
};

}  // namespace recur::inline RECUR_ABI::detail
