// SPDX-License-Identifier: MIT
//
// Threads, where the program is compiled with OpenMP: its setting says how many; without it
// everything runs in the caller and nothing of this costs anything.
//
// The work is handed out by a team of our own, not by OpenMP's parallel regions: their barrier
// makes everybody wait for every thread at every region, spinning. With one of two cores busy with
// something else, a training step of 0.3 ms then took 60 ms and more. Here a range of work belongs
// to whoever takes it first, the caller among them. The caller waits for nobody who has not
// started, so a late thread costs nothing, and a sleeping one is not needed.
#pragma once

#include <algorithm>    // std::clamp, std::max, std::min
#include <type_traits>  // std::is_same_v

#include "recur/kernels/denormals.hpp"

#if RECUR_HAS_OPENMP
#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <omp.h>
#include <thread>
#include <vector>
#endif

namespace recur::inline RECUR_ABI {

/// Threads that a call from here may use: OpenMP's setting (OMP_NUM_THREADS, omp_set_num_threads).
/// Inside a parallel region of the caller it is 1.
inline int max_threads() {
#if RECUR_HAS_OPENMP
  return omp_in_parallel() ? 1 : omp_get_max_threads();
#else
  return 1;
#endif
}

/// Sets the number of threads for calls from this thread. Has no effect without OpenMP.
inline void set_num_threads([[maybe_unused]] int count) {
#if RECUR_HAS_OPENMP
  omp_set_num_threads(std::max(count, 1));
#endif
}

namespace kernels {

namespace detail {

// Refers to a function of any type: what calls it is compiled once for all of them.
template <class... Args>
class FunctionRef {
 public:
  FunctionRef() = default;
  template <class F>
  requires(!std::is_same_v<F, FunctionRef>)
      FunctionRef(const F& f)  // NOLINT(google-explicit-constructor)
      : call_([](const void* of, Args... args) { (*static_cast<const F*>(of))(args...); }),
        of_(&f) {}

  void operator()(Args... args) const { call_(of_, args...); }

 private:
  void (*call_)(const void*, Args...) = nullptr;
  const void* of_ = nullptr;
};

#if RECUR_HAS_OPENMP

inline void pause_briefly() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/// Waits for another thread that is at work. Gives up the core where it takes long: the other may
/// need it.
template <class F>
void spin_until(F&& condition) {
  constexpr int spins_before_yield = 1000;
  for (int spin = 0; !condition(); ++spin) {
    spin < spins_before_yield ? pause_briefly() : std::this_thread::yield();
  }
}

/// Threads that sleep until there is work. One for the process; whoever finds it taken does
/// without.
class Team {
 public:
  static Team& instance() {
    static Team team;
    return team;
  }
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  ~Team() {
    stop_.store(true);
    wake_.fetch_add(1);
    wake_.notify_all();
    for (std::thread& worker : workers_) {
      worker.join();
    }
  }

  /// Calls f(0), …, f(parts - 1), each once, in the caller and up to `threads` - 1 others. False,
  /// and nothing done, if another thread is using the team.
  bool run(int threads, std::uint32_t parts, FunctionRef<Index> f) {
    const std::unique_lock<std::mutex> taken(mutex_, std::try_to_lock);
    if (!taken.owns_lock()) {
      return false;
    }
    while (static_cast<int>(workers_.size()) + 1 < threads) {
      workers_.emplace_back([this] { work(); });
    }
    call_ = f;
    done_.store(0, std::memory_order_relaxed);
    // From here on, parts can be taken: the upper half of the ticket names the job, the lower half
    // is the number of parts left.
    const std::uint64_t job = (ticket_.load(std::memory_order_relaxed) >> 32) + 1;
    ticket_.store(job << 32 | parts, std::memory_order_seq_cst);
    if (sleepers_.load(std::memory_order_seq_cst) > 0 && sleepers_.exchange(0) > 0) {
      wake_.fetch_add(1);
      wake_.notify_all();
    }
    take_parts();
    spin_until([&] { return done_.load(std::memory_order_acquire) == parts; });
    return true;
  }

 private:
  // About 100 µs: a thread stays awake between the steps of one call and through short scans of one
  // sequence, and gives up its core soon afterwards. (With 20 µs, LSTM (100, 1, 40, 64) trained 15
  // % more slowly on two threads.)
  static constexpr int spins_before_sleep = 5000;

  Team() = default;

  // Takes parts of the current job until none is left. The job's description is read only after a
  // part was taken: until that part is done, it cannot change.
  bool take_parts() {
    bool any = false;
    std::uint64_t ticket = ticket_.load(std::memory_order_acquire);
    while ((ticket & 0xFFFFFFFFU) > 0) {
      if (ticket_.compare_exchange_weak(ticket, ticket - 1, std::memory_order_acq_rel,
                                        std::memory_order_acquire)) {
        call_(static_cast<Index>(static_cast<std::uint32_t>(ticket)) - 1);
        done_.fetch_add(1, std::memory_order_release);
        any = true;
        ticket = ticket_.load(std::memory_order_acquire);
      }
    }
    return any;
  }

  void work() {
    omp_set_num_threads(1);  // what runs here starts no threads of its own
    int idle = 0;
    while (!stop_.load(std::memory_order_relaxed)) {
      if (take_parts()) {
        idle = 0;
      } else if (++idle < spins_before_sleep) {
        pause_briefly();
      } else {
        const std::uint32_t seen = wake_.load();
        sleepers_.fetch_add(1, std::memory_order_seq_cst);
        if ((ticket_.load(std::memory_order_seq_cst) & 0xFFFFFFFFU) == 0 && !stop_.load()) {
          wake_.wait(seen);
        }
        idle = 0;
      }
    }
  }

  std::mutex mutex_;
  std::vector<std::thread> workers_;
  FunctionRef<Index> call_;
  alignas(64) std::atomic<std::uint64_t> ticket_{0};
  alignas(64) std::atomic<std::uint32_t> done_{0};
  alignas(64) std::atomic<std::uint32_t> wake_{0};
  std::atomic<int> sleepers_{0};  // that nobody has woken yet: it takes them many steps to come
  std::atomic<bool> stop_{false};
};

// Nanoseconds until a thread of the team has answered a signal, the least of some; 0 if none came.
inline double time_of_meeting() {
  using Clock = std::chrono::steady_clock;
  constexpr int signals = 32;
  constexpr int end = -1;
  enum : int { nobody, one, both, too_late };
  alignas(64) std::atomic<int> here{nobody};
  alignas(64) std::atomic<int> signal{0};
  alignas(64) std::atomic<int> answer{0};
  const auto wait = [](const auto& arrived) {  // false: in vain
    const auto begin = Clock::now();
    while (!arrived()) {
      if (Clock::now() - begin > std::chrono::microseconds(100)) {
        return false;
      }
    }
    return true;
  };
  double least = 0;
  Team::instance().run(2, 2, [&](Index /*part*/) {
    int found = nobody;
    if (here.compare_exchange_strong(found, one)) {
      found = one;
      if (!wait([&] { return here.load() == both; }) &&
          here.compare_exchange_strong(found, too_late)) {
        return;
      }
      for (int k = 1; k <= signals; ++k) {
        const auto begin = Clock::now();
        signal.store(k);
        if (!wait([&] { return answer.load() == k; })) {
          break;
        }
        const double time = std::chrono::duration<double, std::nano>(Clock::now() - begin).count();
        least = k == 1 ? time : std::min(least, time);
      }
      signal.store(end);
    } else if (found == one && here.compare_exchange_strong(found, both)) {
      int seen = 0;
      while (wait([&] { return signal.load() != seen; }) && (seen = signal.load()) != end) {
        answer.store(seen);
      }
    }
  });
  return least;
}

#else

template <class F>
void spin_until(F&& condition) {  // there are no others
  while (!condition()) {
  }
}

#endif  // RECUR_HAS_OPENMP

}  // namespace detail

/// How much more it costs here that two threads meet than between cores that share a cache, where
/// the thresholds were measured: 1 there, where they answer each other within 0.1 µs; about 2 where
/// it takes 0.2 to 0.3, as between the cores of a large Intel Xeon (a single sequence and 128
/// units: two threads that met at every step took 1.2 times as long as one with LSTM, 1.4 with
/// GRU); about 3 where it takes 0.6, as between two sockets or the cores of some virtual machines.
/// Measured when it is first needed and another thread comes, which may take that some milliseconds
/// to start: 1 until then, or where none has come at many attempts.
inline double cost_of_meeting() {
#if RECUR_HAS_OPENMP
  constexpr int most_attempts = 1000;  // of 0.1 ms
  static std::atomic<double> known{0};
  static std::atomic<int> attempts{0};
  double cost = known.load(std::memory_order_relaxed);
  if (cost == 0) {
    const double nanoseconds = detail::time_of_meeting();
    cost = std::clamp(std::max(nanoseconds / 180, std::min(nanoseconds / 110, 2.0)), 1.0, 10.0);
    if (nanoseconds > 0 || attempts.fetch_add(1, std::memory_order_relaxed) + 1 >= most_attempts) {
      known.store(cost, std::memory_order_relaxed);
    }
  }
  return cost;
#else
  return 1;
#endif
}

/// Of `threads`, those worth calling for `multiply_adds` of work without a break: one below about
/// 15 µs, as they come to it late. (With 1e6 here, before they shared the units of short steps,
/// LSTM (28, 1, 28, 128) was a tenth slower with two threads than with one.) If they are sure to
/// sleep by now, because the caller has been alone for longer than they wait, it takes five times
/// as much. meeting: their cost_of_meeting; 0: ask, if need be.
inline int useful_threads(double multiply_adds, int threads = max_threads(), bool asleep = false,
                          double meeting = 0) {
  const double least = asleep ? 1e7 : 2e6;
  if (threads == 1 || multiply_adds < least) {
    return 1;
  }
  return multiply_adds < least * (meeting > 0 ? meeting : cost_of_meeting()) ? 1 : threads;
}

/// [0, count) in ranges of equal size, but for multiples of `grain`: the beginning of range `part`
/// of `parts`, and the end of the one before.
inline Index range_begin(Index part, Index parts, Index count, Index grain) {
  if (parts == 1) {  // without the divisions
    return part * count;
  }
  const Index blocks = (count + grain - 1) / grain;
  return std::min(count, blocks * part / parts * grain);
}

/// Size of the largest range that parallel_ranges gives to a thread.
inline Index largest_range(int threads, Index count, Index grain) {
  Index largest = 0;
  for (Index part = 0; part < threads; ++part) {
    largest = std::max(largest, range_begin(part + 1, threads, count, grain) -
                                    range_begin(part, threads, count, grain));
  }
  return largest;
}

namespace detail {

// parallel_ranges of several parts: by the team, if it is free.
RECUR_NEVER_INLINE void run_ranges([[maybe_unused]] int threads, Index parts, Index count,
                                   Index grain, FunctionRef<Index, Index> f) {
  const auto range = [&](Index part) {
    const FlushDenormals flush;
    f(range_begin(part, parts, count, grain), range_begin(part + 1, parts, count, grain));
  };
#if RECUR_HAS_OPENMP
  if (Team::instance().run(threads, static_cast<std::uint32_t>(parts), range)) {
    return;
  }
#endif
  for (Index part = 0; part < parts; ++part) {
    range(part);
  }
}

}  // namespace detail

/// Calls f(first, last) on at most `threads` ranges that cover [0, count), sizes a multiple of
/// `grain` except for the last. Other threads flush denormals: so must the caller (FlushDenormals).
/// f must not throw.
template <class F>
void parallel_ranges(int threads, Index count, Index grain, const F& f) {
  const Index parts = threads == 1 ? 1 : std::min<Index>(threads, (count + grain - 1) / grain);
  if (parts <= 1) {
    f(Index(0), count);
  } else {
    detail::run_ranges(threads, parts, count, grain, f);
  }
}

}  // namespace kernels
}  // namespace recur::inline RECUR_ABI
