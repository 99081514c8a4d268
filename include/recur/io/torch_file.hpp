// SPDX-License-Identifier: MIT
//
// Files that torch.save has written (PyTorch 1.6 and newer), read without PyTorch. One is a zip
// archive; its folder has the name of the file, or `archive`:
//
//   <folder>/data.pkl     the object, as a pickle; where a tensor comes in it, there are the key of
//                         its storage, the offset, the shape and the strides, counted in elements
//   <folder>/data/<key>   the bytes of a storage, which tensors may share
//   <folder>/byteorder    `little`; older versions leave it out
//
// A pickle can name any function for Python to call. Here none is called: pickle.hpp.
#pragma once

#include <array>
#include <charconv>  // std::to_chars
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "recur/io/mapped_file.hpp"
#include "recur/io/pickle.hpp"
#include "recur/io/tensor_file.hpp"
#include "recur/io/torch_tensors.hpp"
#include "recur/io/zip.hpp"

namespace recur::inline RECUR_ABI {

namespace detail {

/// The first bytes of a file in the format of PyTorch before 1.6: a pickled magic number.
inline constexpr std::string_view legacy_torch_start =
    "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";

/// Reads one file; thrown away afterwards.
class TorchReader {
 public:
  TorchReader(std::span<const std::byte> file, const std::string& name)
      : zip_(file, name), result_(name), budget_(name, file.size()) {
    find_folder();
    const ZipContents pickle = torch_entry(zip_, folder_ + "data.pkl");
    result_.keep(pickle.memory);
    pickle_ = std::make_unique<Pickle>(pickle.bytes, name + ": " + in_quotes(folder_ + "data.pkl"));
    tensors_ = std::make_unique<TorchTensors>(zip_, folder_, *pickle_, budget_, result_);
    visits_ = pickle_->size();
  }

  TensorFile read(const std::string& key) && {
    const PickleRef root = find(pickle_->root(), key, key);
    if (kind(root) == PickleKind::call) {
      add_tensor("tensor", root);
    } else {
      check(is_container(root), result_.name(), ": ",
            key.empty() ? "the object in the file" : in_quotes(key),
            " is no tensor and no dict, list or tuple");
      add_all(root, "", 0);
    }
    return std::move(result_);
  }

 private:
  static constexpr int max_depth = 32;

  // ---- The archive ----

  void find_folder() {
    for (const ZipEntry& entry : zip_.entries()) {
      const std::size_t slash = entry.name.rfind('/');
      if (slash != std::string_view::npos && entry.name.substr(slash) == "/data.pkl") {
        check(folder_.empty(), result_.name(), ": expected one data.pkl, got several");
        folder_ = entry.name.substr(0, slash + 1);
      }
    }
    check(!folder_.empty(), result_.name(),
          ": expected a file of torch.save, got a zip archive without data.pkl");
    check(zip_.find(folder_ + "constants.pkl") == nullptr, result_.name(),
          ": is a TorchScript program (torch.jit.save); save its weights instead: "
          "torch.save(torch.jit.load(path).state_dict(), new_path)");
    if (zip_.find(folder_ + "byteorder") != nullptr) {
      const ZipContents order = torch_entry(zip_, folder_ + "byteorder");
      const std::string_view text(reinterpret_cast<const char*>(order.bytes.data()),
                                  order.bytes.size());
      check(text == "little", result_.name(), ": expected the byte order \"little\", got ",
            in_quotes(text), " (load and save the file on a little-endian machine)");
    }
  }

  // ---- The object ----

  const PickleValue& value(PickleRef ref) const { return (*pickle_)[ref]; }
  PickleKind kind(PickleRef ref) const { return value(ref).kind; }
  bool is_container(PickleRef ref) const {
    return kind(ref) == PickleKind::dict || kind(ref) == PickleKind::list ||
           kind(ref) == PickleKind::tuple;
  }

  // A key of a dict as part of a name; false: neither text nor a whole number.
  static bool name_part(const PickleValue& key, std::string& part) {
    if (key.kind == PickleKind::text) {
      part = key.text;
    } else if (key.kind == PickleKind::integer) {
      part = std::to_string(key.integer);
    } else {
      return false;
    }
    return true;
  }

  /// What stands under a key such as "model" or "ema.model" (where a dict may have the key "ema" or
  /// "ema.model"). `key` is the rest of `whole`.
  PickleRef find(PickleRef from, const std::string& key, const std::string& whole) {
    if (key.empty()) {
      return from;
    }
    std::string keys;
    if (kind(from) == PickleKind::dict) {
      const std::vector<PickleRef>& items = value(from).items;
      const auto of_key = [&](const std::string& wanted) {
        std::string part;
        for (std::size_t k = 0; k + 1 < items.size(); k += 2) {
          if (name_part(value(items[k]), part) && part == wanted) {
            return items[k + 1];
          }
        }
        return from;
      };
      if (const PickleRef found = of_key(key); found != from) {
        return found;
      }
      const std::size_t point = key.find('.');
      if (point != std::string::npos) {
        if (const PickleRef found = of_key(key.substr(0, point)); found != from) {
          return find(found, key.substr(point + 1), whole);
        }
      }
      for (std::size_t k = 0; k + 1 < items.size() && keys.size() < 1000; k += 2) {
        std::string part;
        if (name_part(value(items[k]), part)) {
          keys +=
              (keys.empty() ? "" : ", ") + in_quotes(std::string_view(part).substr(0, 100)) +
              (kind(items[k + 1]) == PickleKind::call                        ? " (a tensor)"
               : is_container(items[k + 1]) && holds_tensor(items[k + 1], 0) ? " (holds tensors)"
                                                                             : "");
        }
      }
    }
    fail(result_.name(), ": no key ", in_quotes(whole),
         keys.empty() ? ": what is there is no dict" : "; the keys are ", keys);
  }

  bool holds_tensor(PickleRef ref, int depth) {
    if (kind(ref) == PickleKind::call) {
      return true;
    }
    if (!is_container(ref) || depth > max_depth) {
      return false;
    }
    for (const PickleRef item : value(ref).items) {
      if (visits_ == 0) {
        return false;
      }
      --visits_;
      if (holds_tensor(item, depth + 1)) {
        return true;
      }
    }
    return false;
  }

  /// Adds all tensors below a container, their names joined by points, and numbers, text and truth
  /// values of dicts as metadata.
  void add_all(PickleRef container, const std::string& prefix, int depth) {
    if (depth > max_depth) {
      fail(result_.name(), ": ", in_quotes(prefix), ": nests deeper than ", max_depth);
    }
    const std::vector<PickleRef>& items = value(container).items;
    const bool dict = kind(container) == PickleKind::dict;
    std::string part;
    for (std::size_t k = 0; k < items.size(); k += dict ? 2 : 1) {
      if (visits_ == 0) {
        fail(result_.name(), ": ", in_quotes(prefix), ": the same values come again and again");
      }
      --visits_;
      const PickleRef item = items[dict ? k + 1 : k];
      const bool tensor = kind(item) == PickleKind::call;
      if (!dict) {
        part = std::to_string(k);
      } else if (!name_part(value(items[k]), part)) {
        if (tensor || is_container(item)) {
          fail(result_.name(), ": ", in_quotes(prefix), ": expected keys of text or whole numbers");
        }
        continue;
      }
      if (tensor || is_container(item) || dict) {
        const std::string name = prefix.empty() ? part : prefix + "." + part;
        budget_.spend(name.size(), name);
        if (tensor) {
          add_tensor(name, item);
        } else if (is_container(item)) {
          add_all(item, name, depth + 1);
        } else {
          add_metadata(name, value(item));
        }
      }
    }
  }

  void add_metadata(const std::string& name, const PickleValue& item) {
    std::array<char, 64> digits{};
    std::string text;
    if (item.kind == PickleKind::text) {
      text = item.text;
    } else if (item.kind == PickleKind::integer) {
      text = std::to_string(item.integer);
    } else if (item.kind == PickleKind::boolean) {
      text = item.integer != 0 ? "true" : "false";
    } else if (item.kind == PickleKind::real) {
      text.assign(digits.data(),
                  std::to_chars(digits.data(), digits.data() + digits.size(), item.real()).ptr);
    } else {
      return;
    }
    budget_.spend(name.size() + text.size(), name);
    result_.add_metadata(name, std::move(text));
  }

  void add_tensor(const std::string& name, PickleRef call) {
    budget_.spend(name.size(), name);
    result_.add(name, tensors_->tensor(name, call));
  }

  ZipFile zip_;
  TensorFile result_;
  TorchBudget budget_;
  std::uint64_t visits_ = 0;  // values that may still be looked at
  std::string folder_;        // with the slash
  std::unique_ptr<Pickle> pickle_;
  std::unique_ptr<TorchTensors> tensors_;
};

}  // namespace detail

/// Reads the bytes of a file of torch.save: see load_torch(). `name` stands for the file in error
/// texts; the bytes must outlive the result.
inline TensorFile parse_torch(std::span<const std::byte> bytes, const std::string& name,
                              const std::string& key = "") {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  check(!text.starts_with(detail::legacy_torch_start), name,
        ": was written by a PyTorch before 1.6, or with _use_new_zipfile_serialization=False; in "
        "Python: torch.save(torch.load(path), path)");
  return detail::TorchReader(bytes, name).read(key);
}

/// Reads a file that torch.save has written: a state_dict, or a checkpoint that holds some.
///
///     torch.save(model.state_dict(), "model.pt")                              # in Python
///     torch.save({"model": model.state_dict(), "optimizer": …, "epoch": 3}, "checkpoint.pt")
///
///     recur::load_torch("model.pt");             // lstm.weight_ih_l0 …
///
///     recur::load_torch("checkpoint.pt", "model");  // lstm.weight_ih_l0 …
///
///     recur::load_torch("checkpoint.pt");        // model.lstm.weight_ih_l0 …
///
/// Gives all tensors of the object, or of what stands under `key` ("model"; "ema.model" for a dict
/// in a dict). Names of dicts in dicts are joined by points; positions in lists and tuples count as
/// names; a tensor alone is called "tensor". Numbers, text and truth values in dicts become
/// metadata ("epoch": "3"). The dtypes are those of dtype_size(); dense tensors only. Those that
/// are contiguous refer to the file, which is mapped; others are copied.
///
/// Throws recur::Error that names the file and the tensor or function: where anything is damaged,
/// and where the object has anything but tensors and plain values in it, such as a whole module:
/// nothing in a file is ever run. A wrong `key`: the error lists those that there are.
inline TensorFile load_torch(const std::filesystem::path& path, const std::string& key = "") {
  const auto file = std::make_shared<const MappedFile>(path);
  TensorFile result = parse_torch(file->bytes(), file->name(), key);
  result.keep(file);
  return result;
}

}  // namespace recur::inline RECUR_ABI
