// SPDX-License-Identifier: MIT
//
// The same as embed.c with spdlog's synchronous logger into a file: lines of the same length with
// the same members, whose texts are not escaped.
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <sys/stat.h>
#include <thread>
#include <time.h>
#include <vector>

namespace {

constexpr int kRecords = 1000000, kRounds = 3, kOff = 20000000;

double now(clockid_t clock)
{
    timespec ts;
    clock_gettime(clock, &ts);
    return static_cast<double>(ts.tv_sec) + static_cast<double>(ts.tv_nsec) / 1e9;
}

void log_share(spdlog::logger &log, int first, int count)
{
    for (int i = first; i < first + count; i++)
        SPDLOG_LOGGER_INFO(
            (&log),
            "\"text\":\"{}\",\"id\":\"{:026}\",\"seq\":{},\"user\":\"{}\",\"count\":{},"
            "\"share\":{},\"late\":{},\"channel\":\"{}\"",
            "the roll went round and the third picture is shown", i, i,
            i % 20 ? "somebody with a name" : "nobody of that name", i, i / 1000.0, false,
            "978332728615378984");
}

std::shared_ptr<spdlog::logger> open_logger(const std::string &path)
{
    spdlog::drop_all();
    auto log = spdlog::basic_logger_mt("bot.rolls", path, true);
    log->set_pattern("{\"time\":\"%Y-%m-%dT%H:%M:%S.%fZ\",\"node\":\"web-1\",\"kind\":\"log\","
                     "\"level\":\"%l\",\"logger\":\"%n\",\"where\":\"%s:%#\",%v}",
                     spdlog::pattern_time_type::utc);
    return log;
}

double round_of(const std::string &path, int threads, double *cpu, double *all,
                long *bytes)
{
    auto log = open_logger(path);
    std::vector<std::thread> others;
    double start = now(CLOCK_MONOTONIC), mine = now(CLOCK_THREAD_CPUTIME_ID);
    *all = now(CLOCK_PROCESS_CPUTIME_ID);
    for (int i = 1; i < threads; i++)
        others.emplace_back([&log, i, threads] {
            log_share(*log, i * (kRecords / threads), kRecords / threads);
        });
    log_share(*log, 0, kRecords / threads);
    *cpu = now(CLOCK_THREAD_CPUTIME_ID) - mine;
    for (auto &thread : others)
        thread.join();
    log->flush();
    double took = now(CLOCK_MONOTONIC) - start;
    *all = now(CLOCK_PROCESS_CPUTIME_ID) - *all;
    struct stat st;
    *bytes = stat(path.c_str(), &st) == 0 ? static_cast<long>(st.st_size) : 0;
    return took;
}

void bench_off(const std::string &path)
{
    auto log = open_logger(path);
    double best = 1e9;
    log->set_level(spdlog::level::info);
    for (int round = 0; round < kRounds; round++) {
        double start = now(CLOCK_MONOTONIC);
        for (int i = 0; i < kOff; i++)
            log->debug("off {}", i);
        double took = now(CLOCK_MONOTONIC) - start;
        best = took < best ? took : best;
    }
    std::printf("embed.off\t%.2f\n", best / kOff * 1e9);
}

} // namespace

int main()
{
    char folder[] = "/tmp/crier-bench-XXXXXX";
    if (!mkdtemp(folder))
        return 1;
    std::string path = std::string(folder) + "/bench.jsonl";
    for (int threads = 1; threads <= 4; threads *= 2) {
        double best = 1e9, call = 1e9, total = 1e9;
        long bytes = 0;
        for (int round = 0; round < kRounds; round++) {
            double cpu, all, took = round_of(path, threads, &cpu, &all, &bytes);
            total = all < total ? all : total;
            best = took < best ? took : best;
            call = cpu < call ? cpu : call;
        }
        std::printf("embed.threads_%d\t%.3g\n", threads, kRecords / best);
        if (threads == 1) {
            std::printf("embed.call\t%.0f\n", call / kRecords * 1e9);
            std::printf("embed.cpu\t%.0f\n", total / kRecords * 1e9);
            std::printf("embed.line\t%ld\n", bytes / kRecords);
        }
    }
    bench_off(path);
    return std::system(("rm -rf " + std::string(folder)).c_str()) != 0;
}
