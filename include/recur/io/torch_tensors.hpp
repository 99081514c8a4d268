// SPDX-License-Identifier: MIT
//
// The tensors of a file of torch.save: torch_file.hpp reads the objects that hold them. A tensor is
// a view of a storage:
//
//   element (i, j, …)  =  storage[offset + i · strides[0] + j · strides[1] + …]
//
// and tensors may share a storage.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "recur/io/pickle.hpp"
#include "recur/io/strided.hpp"
#include "recur/io/tensor_file.hpp"
#include "recur/io/zip.hpp"

namespace recur::inline RECUR_ABI::detail {

/// The contents of an entry that the archive must have.
inline ZipContents torch_entry(const ZipFile& zip, const std::string& entry_name) {
  const ZipEntry* entry = zip.find(entry_name);
  if (entry == nullptr) {
    fail(zip.name(), ": the archive has no ", in_quotes(entry_name));
  }
  return zip.contents(*entry);
}

/// What may still be copied out of a file: tensors that do not lie in it as they are read, names
/// and metadata; of all of them no more than 16 times the size of the file.
class TorchBudget {
 public:
  TorchBudget(std::string file, std::uint64_t size)
      : file_(std::move(file)), left_(size * max_copies) {}

  void spend(std::uint64_t bytes, std::string_view tensor) {
    if (bytes > left_) {
      fail(file_, ": ", in_quotes(tensor), ": what is read would take more than ", max_copies,
           " times the size of the file (tensors made by expand() or saved many times over: save "
           "tensor.clone())");
    }
    left_ -= bytes;
  }

 private:
  static constexpr std::uint64_t max_copies = 16;

  std::string file_;
  std::uint64_t left_;
};

/// Makes tensors of the calls that stand for them in a pickle. All arguments must outlive it.
class TorchTensors {
 public:
  TorchTensors(const ZipFile& zip, std::string folder, const Pickle& pickle, TorchBudget& budget,
               TensorFile& file)
      : zip_(zip), folder_(std::move(folder)), pickle_(pickle), budget_(budget), file_(file) {}

  /// The tensor of a call of _rebuild_tensor_v2 or _v3; the file keeps its memory. `name` is for
  /// errors.
  StoredTensor tensor(const std::string& name, PickleRef call) {
    const PickleValue& rebuild = value(call);
    const std::vector<PickleRef>& arguments = rebuild.items;
    Storage from = storage(arguments[0], name);
    std::size_t metadata = 6;
    if (rebuild.known().meaning == PickleName::rebuild_tensor_3) {
      metadata = 7;
      if (arguments.size() < 7 || kind(arguments[6]) != PickleKind::name ||
          value(arguments[6]).known().meaning != PickleName::dtype || !from.dtype.empty()) {
        fail(where(name), "expected an untyped storage and a dtype");
      }
      from.dtype = value(arguments[6]).known().dtype;
    }
    const std::size_t element = dtype_size(from.dtype);
    if (element == 0) {
      fail(where(name), "unknown dtype ", in_quotes(from.dtype));
    }
    if (metadata < arguments.size() && holds_true(arguments[metadata])) {
      fail(where(name),
           "is a conjugate or negative view: save tensor.resolve_conj().resolve_neg()");
    }

    StoredTensor result{std::string(from.dtype), whole_numbers(arguments[2], name, "shape"), {}};
    const std::vector<Index> strides = whole_numbers(arguments[3], name, "strides");
    if (strides.size() != result.shape.size()) {
      fail(where(name), "shape ", shape_text(result.shape), ": got ", strides.size(), " strides");
    }
    const auto bytes = byte_count(result.shape, element);
    if (!bytes.has_value()) {
      fail(where(name), "shape ", shape_text(result.shape), ": the number of bytes overflows");
    }
    const std::uint64_t offset = whole_number(arguments[1], name, "offset");
    const std::uint64_t available = from.bytes.size() / element;
    check_reach(name, result.shape, strides, offset, available);
    if (*bytes == 0) {
      return result;
    }
    if (is_contiguous(result.shape, strides)) {
      result.bytes = from.bytes.subspan(static_cast<std::size_t>(offset * element),
                                        static_cast<std::size_t>(*bytes));
      return result;
    }
    auto found = copies_.find(call);
    if (found == copies_.end()) {
      budget_.spend(*bytes, name);
      const auto copy = std::make_shared<std::vector<std::byte>>(
          gather(from.bytes.subspan(static_cast<std::size_t>(offset * element)), result.shape,
                 strides, element, static_cast<std::size_t>(*bytes)));
      file_.keep(copy);
      found = copies_.emplace(call, *copy).first;
    }
    result.bytes = found->second;
    return result;
  }

 private:
  static constexpr std::size_t max_dimensions = 64;  // PyTorch's own limit

  struct Storage {
    std::string_view dtype;
    std::span<const std::byte> bytes;
    std::uint64_t count = 0;  // of elements; of bytes where there is no dtype
  };

  const PickleValue& value(PickleRef ref) const { return pickle_[ref]; }
  PickleKind kind(PickleRef ref) const { return value(ref).kind; }

  std::string where(const std::string& name) const {
    return file_.name() + ": " + in_quotes(name) + ": ";
  }

  std::uint64_t whole_number(PickleRef ref, const std::string& name, const char* what) const {
    const PickleValue& number = value(ref);
    if (number.kind != PickleKind::integer || number.integer < 0) {
      fail(where(name), what, ": expected a whole number from 0 on",
           number.kind == PickleKind::integer ? ", got " + std::to_string(number.integer) : "");
    }
    return static_cast<std::uint64_t>(number.integer);
  }

  std::vector<Index> whole_numbers(PickleRef ref, const std::string& name, const char* what) const {
    if (kind(ref) != PickleKind::tuple || value(ref).items.size() > max_dimensions) {
      fail(where(name), what, ": expected a tuple of at most ", max_dimensions, " numbers");
    }
    std::vector<Index> numbers;
    for (const PickleRef item : value(ref).items) {
      numbers.push_back(static_cast<Index>(whole_number(item, name, what)));
    }
    return numbers;
  }

  Storage storage(PickleRef ref, const std::string& name) {
    const auto is_text = [&](PickleRef item) { return kind(item) == PickleKind::text; };
    if (kind(ref) != PickleKind::storage) {
      fail(where(name), "expected a storage in the file");
    }
    const std::vector<PickleRef>& items = value(ref).items;
    if (!is_text(items[0]) || value(items[0]).text != "storage" ||
        kind(items[1]) != PickleKind::name ||
        value(items[1]).known().meaning != PickleName::storage || !is_text(items[2])) {
      fail(where(name), "expected a storage: \"storage\", class, key, device, number of elements");
    }
    Storage result{
        value(items[1]).known().dtype, {}, whole_number(items[4], name, "elements of the storage")};
    const std::string_view key = value(items[2]).text;
    auto found = storages_.find(key);
    if (found == storages_.end()) {
      const ZipContents data = torch_entry(zip_, folder_ + "data/" + std::string(key));
      file_.keep(data.memory);
      found = storages_.emplace(key, data.bytes).first;
    }
    result.bytes = found->second;
    const std::size_t element = result.dtype.empty() ? 1 : dtype_size(result.dtype);
    if (element == 0) {
      fail(where(name), "unknown dtype ", result.dtype);
    }
    if (result.bytes.size() % element != 0 || result.bytes.size() / element != result.count) {
      fail(where(name), "expected a storage of ", result.count, " elements of ", element,
           " bytes, got ", result.bytes.size(), " bytes");
    }
    return result;
  }

  bool holds_true(PickleRef ref) const {
    for (const PickleRef item : value(ref).items) {
      if (kind(item) == PickleKind::boolean && value(item).integer != 0) {
        return true;
      }
    }
    return false;
  }

  /// The last element must lie in the storage: offset + Σ (size - 1) · stride < elements.
  void check_reach(const std::string& name, const std::vector<Index>& shape,
                   const std::vector<Index>& strides, std::uint64_t offset,
                   std::uint64_t available) const {
    const auto fits = [&] {
      bool empty = false;
      for (const Index size : shape) {
        empty = empty || size == 0;
      }
      if (empty) {
        return offset <= available;
      }
      if (offset >= available) {
        return false;
      }
      std::uint64_t left = available - 1 - offset;
      for (std::size_t k = 0; k < shape.size(); ++k) {
        const auto steps = static_cast<std::uint64_t>(shape[k]) - 1;
        const auto stride = static_cast<std::uint64_t>(strides[k]);
        if (stride > 0 && steps > left / stride) {
          return false;
        }
        left -= steps * stride;
      }
      return true;
    };
    if (!fits()) {
      fail(where(name), "shape ", shape_text(shape), " with strides ", shape_text(strides),
           " and offset ", offset, " reaches past its storage of ", available, " elements");
    }
  }

  static bool is_contiguous(const std::vector<Index>& shape, const std::vector<Index>& strides) {
    Index expected = 1;
    for (std::size_t k = shape.size(); k-- > 0;) {
      if (shape[k] != 1 && strides[k] != expected) {
        return false;
      }
      expected *= shape[k];
    }
    return true;
  }

  const ZipFile& zip_;
  std::string folder_;
  const Pickle& pickle_;
  TorchBudget& budget_;
  TensorFile& file_;
  std::map<std::string_view, std::span<const std::byte>> storages_;  // by key
  std::map<PickleRef, std::span<const std::byte>> copies_;           // of tensors, by their call
};

}  // namespace recur::inline RECUR_ABI::detail
