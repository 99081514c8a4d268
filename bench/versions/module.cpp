// SPDX-License-Identifier: MIT
//
// A version of recur as a library: see module.hpp. It exports one name only, so that several
// versions live in one process.
#include "module.hpp"

#include "../recur_pass.hpp"

extern "C" __attribute__((visibility("default"))) void recur_with_pass(
    const bench::Options& options, bench::UsePass use, void* user) {
  bench::with_pass(options, [&](auto& pass) {
    using Object = std::remove_reference_t<decltype(pass)>;
    const auto run = [](void* object) { (*static_cast<const Object*>(object))(); };
    use(user, {run, const_cast<std::remove_const_t<Object>*>(&pass)});
  });
}
