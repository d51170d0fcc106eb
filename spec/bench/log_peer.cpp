// SPDX-License-Identifier: MIT
// The lines of log_lua.py, written by spdlog: log_peer async|sync
#include <cstdlib>
#include <cstring>
#include <memory>

#include <spdlog/async.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/spdlog.h>

int main(int argc, char **argv)
{
    const char *out = std::getenv("OUT"), *n = std::getenv("N");
    if (argc < 2 || !out || !n)
        return 64;
    std::shared_ptr<spdlog::logger> log;
    if (std::strcmp(argv[1], "async") == 0) {
        spdlog::init_thread_pool(8192, 1);
        log = spdlog::basic_logger_mt<spdlog::async_factory>("bot", out, true);
    } else {
        log = spdlog::basic_logger_mt("bot", out, true);
    }
    log->set_pattern("{\"id\":\"01M80FPGS8X5Y8QR4RACRNR0KY\",\"time\":\"%Y-%m-%dT%H:%M:%S.%fZ\","
                     "\"node\":\"vm\",\"kind\":\"log\",\"level\":\"%l\",\"logger\":\"%n\",%v}");
    for (long i = 1, end = std::atol(n); i <= end; i++)
        log->info("\"seq\":{},\"text\":\"{}\",\"where\":\"plain.lua:9\",\"paid\":{},\"user\":\"{}\","
                  "\"item\":\"{}\",\"price\":{},\"count\":{}",
                  i, "order accepted by the warehouse, to be packed", true, "145196308985020416",
                  "herring", 12.75, i);
    log->flush();
    log.reset();
    spdlog::shutdown();
    return 0;
}
