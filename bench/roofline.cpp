// SPDX-License-Identifier: MIT
//
// What the machine can do at most, float: multiply-adds that stay in registers, and reading from
// memory with buffers of several sizes, each thread its own.
//
//     roofline [THREADS ...]      // default: 1 and all
//     roofline --now THREADS      // a few milliseconds: what every one of so many cores does now
//     roofline --bytes BYTES      // only reading, a buffer of this size, one thread
//
// One JSON line for each figure, the best of several tries:
//     what   "fma" (GFLOP/s) or "read" (GB/s), all threads together; or "now": "fma" as it is just
//            now, the slowest thread times their number
//     level  read: where the buffer has room: L1, L2, L3, DRAM; "" with --bytes
//     bytes  read: its size, of each thread
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <sched.h>
#include <string>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

#include <Eigen/Core>

#include "recur/kernels/packet.hpp"

#include "measure.hpp"

namespace {

using V = recur::kernels::Vec<float>;

// Results go here, so that the compiler cannot leave out what leads to them.
volatile float sink;

template <std::size_t... k>
float sum(const V* parts, std::index_sequence<k...>) {
  V total(0.0F);
  ((total = total + parts[k]), ...);
  float lanes[V::width];
  total.store(lanes);
  return lanes[0];
}

// Independent chains: more than latency × units of any processor, and two registers are left.
constexpr std::size_t chains = recur::kernels::register_count >= 32 ? 24 : 12;

template <std::size_t... k>
double multiply_adds(long rounds, std::index_sequence<k...> all) {
  volatile float factor = 0.999999F;  // read at run time: nothing to compute in advance
  volatile float term = 1e-6F;
  const V a(factor);
  const V b(term);
  V x[] = {V(static_cast<float>(k))...};
  for (long n = 0; n < rounds; ++n) {
    ((x[k] = multiply_add(x[k], a, b)), ...);
  }
  sink = sum(x, all);
  return 2.0 * static_cast<double>(rounds) * chains * V::width;
}

template <std::size_t... k>
double read(const std::vector<float>& buffer, double bytes, std::index_sequence<k...> all) {
  constexpr std::size_t stride = sizeof...(k) * V::width;
  const std::size_t size = buffer.size() / stride * stride;
  const auto passes = static_cast<long>(std::max(1.0, bytes / static_cast<double>(4 * size)));
  V x[] = {V(static_cast<float>(k))...};
  for (long n = 0; n < passes; ++n) {
    const float* from = buffer.data();
    asm volatile("" : "+r"(from) : : "memory");  // read it anew in every pass
    for (const float* end = from + size; from != end; from += stride) {
      ((x[k] = x[k] + V::load(from + k * V::width)), ...);
    }
  }
  sink = sum(x, all);
  return static_cast<double>(passes) * static_cast<double>(4 * size);
}

// Work for each second of all threads together, the best of several tries. make() gives a thread
// what it works with, before the clock starts; work(that) returns how much it did.
template <class Make, class Work>
double best_rate(int threads, Make make, Work work) {
  constexpr int tries = 7;
  struct Span {
    double start = 0, end = 0, work = 0;
  };
  std::vector<std::vector<Span>> spans(tries, std::vector<Span>(std::size_t(threads)));
  std::vector<std::atomic<int>> ready(tries);
  const auto run = [&](int thread) {
    auto memory = make();
    for (int k = 0; k < tries; ++k) {
      const auto turn = static_cast<std::size_t>(k);
      ready[turn].fetch_add(1);
      while (ready[turn].load() < threads) {  // all start at once
      }
      Span& span = spans[turn][static_cast<std::size_t>(thread)];
      span.start = bench::now();
      span.work = work(memory);
      span.end = bench::now();
    }
  };
  std::vector<std::thread> others;
  for (int thread = 1; thread < threads; ++thread) {
    others.emplace_back(run, thread);
  }
  run(0);
  for (std::thread& thread : others) {
    thread.join();
  }
  double best = 0;
  for (const std::vector<Span>& turn : spans) {
    double start = turn[0].start;
    double end = turn[0].end;
    double done = 0;
    for (const Span& span : turn) {
      start = std::min(start, span.start);
      end = std::max(end, span.end);
      done += span.work;
    }
    best = std::max(best, done / (end - start));
  }
  return best;
}

void report(const char* what, const char* level, std::size_t bytes, int threads, double rate) {
  std::printf(R"({"peer":"roofline","what":"%s","level":"%s","bytes":%zu,"threads":%d,)", what,
              level, bytes, threads);
  std::printf(R"("value":%.1f,"unit":"%s","load1":%.2f,"impl":"%s"})", rate * 1e-9,
              bytes == 0 ? "GFLOP/s" : "GB/s", bench::load_average(),
              Eigen::SimdInstructionSetsInUse());
  std::printf("\n");
}

// Sizes of the caches, in bytes; what is usual where the system does not tell.
struct Caches {
  std::size_t l1 = 32U << 10, l2 = 512U << 10, l3 = 8U << 20;

  Caches() {
#ifdef _SC_LEVEL1_DCACHE_SIZE
    const auto ask = [](int name, std::size_t& size) {
      if (const long told = sysconf(name); told > 0) {
        size = static_cast<std::size_t>(told);
      }
    };
    ask(_SC_LEVEL1_DCACHE_SIZE, l1);
    ask(_SC_LEVEL2_CACHE_SIZE, l2);
    ask(_SC_LEVEL3_CACHE_SIZE, l3);
#endif
  }
};

void measure_read(const char* level, std::size_t bytes, int threads) {
  const double rate = best_rate(
      threads, [bytes] { return std::vector<float>(bytes / 4, 1e-3F); },
      [](const std::vector<float>& buffer) {
        return read(buffer, 128e6, std::make_index_sequence<8>());
      });
  report("read", level, bytes, threads, rate);
}

void measure(int threads) {
  const double fma = best_rate(
      threads, [] { return 0; },
      [](int) { return multiply_adds(1'000'000, std::make_index_sequence<chains>()); });
  report("fma", "", 0, threads, fma);

  const auto [l1, l2, l3] = Caches();
  // Of L3 each thread takes a share, well above what L2 holds.
  const std::size_t shared = std::max(2 * l2, std::min(4 * l2, l3 / (2 * std::size_t(threads))));
  const std::size_t beyond = std::clamp<std::size_t>(4 * l3, 128U << 20, 512U << 20);
  const std::pair<const char*, std::size_t> levels[] = {
      {"L1", l1 / 2}, {"L2", l2 / 2}, {"L3", shared}, {"DRAM", beyond}};
  for (const auto& [level, bytes] : levels) {
    measure_read(level, bytes, threads);
  }
}

// This thread on the given one of the processors that the program may use.
void bind_to([[maybe_unused]] int number) {
#if defined(__linux__)
  cpu_set_t allowed;
  cpu_set_t one;
  CPU_ZERO(&one);
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) {
    return;
  }
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &allowed) && number-- == 0) {
      CPU_SET(cpu, &one);
      sched_setaffinity(0, sizeof one, &one);
    }
  }
#endif
}

// What every one of `threads` processors does at the moment: a virtual one is slower while its
// neighbour on the same core works, for whomever.
void measure_now(int threads) {
  std::vector<double> rates(static_cast<std::size_t>(threads));
  const auto run = [&](int thread) {
    bind_to(thread);
    double& rate = rates[static_cast<std::size_t>(thread)];
    for (int k = 0; k < 3; ++k) {
      const double start = bench::now();
      const double work = multiply_adds(200'000, std::make_index_sequence<chains>());
      rate = std::max(rate, work / (bench::now() - start));
    }
  };
  std::vector<std::thread> all;
  for (int thread = 0; thread < threads; ++thread) {
    all.emplace_back(run, thread);
  }
  for (std::thread& thread : all) {
    thread.join();
  }
  report("now", "", 0, threads, threads * *std::min_element(rates.begin(), rates.end()));
}

// A number of the command line; what is none, or out of bounds, ends the program.
long number(const char* text, long least, long most) {
  char* end = nullptr;
  const long value = std::strtol(text, &end, 10);
  if (end == text || *end != '\0' || value < least || value > most) {
    std::fprintf(stderr,
                 "roofline: expected a number from %ld to %ld, got \"%s\"\n"
                 "usage: roofline [THREADS...] | --bytes BYTES | --now THREADS\n",
                 least, most, text);
    std::exit(2);
  }
  return value;
}

}  // namespace

int main(int argc, char** argv) {
  constexpr long most_threads = 1024;
  if (argc == 3 && std::string(argv[1]) == "--now") {
    measure_now(static_cast<int>(number(argv[2], 1, most_threads)));
    return 0;
  }
  if (argc == 3 && std::string(argv[1]) == "--bytes") {
    measure_read("", static_cast<std::size_t>(number(argv[2], 4096, 1L << 30)), 1);
    return 0;
  }
  std::vector<int> threads;
  for (int k = 1; k < argc; ++k) {
    threads.push_back(static_cast<int>(number(argv[k], 1, most_threads)));
  }
  if (threads.empty()) {
    const int all = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
    threads = all == 1 ? std::vector<int>{1} : std::vector<int>{1, all};
  }
  for (const int count : threads) {
    measure(count);
  }
}
