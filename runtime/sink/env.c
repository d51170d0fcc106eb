/* SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <string.h>

#include "sink/sink.h"

bool crier_sink_is_local(const char *host)
{
    struct in_addr four;
    struct in6_addr six;
    char bare[INET6_ADDRSTRLEN];
    size_t len = strlen(host);
    if (host[0] == '[' && host[len - 1] == ']' && len - 2 < sizeof bare) {
        memcpy(bare, host + 1, len - 2);
        bare[len - 2] = '\0';
        host = bare;
    }
    if (inet_pton(AF_INET, host, &four) == 1)
        return ntohl(four.s_addr) >> 24 == 127;
    if (inet_pton(AF_INET6, host, &six) == 1)
        return IN6_IS_ADDR_LOOPBACK(&six);
    return strcmp(host, "localhost") == 0;
}

int crier_sink_may_reach(const struct crier_sink_env *env, const char *host, struct crier_err *err)
{
    if (!env->sim || crier_sink_is_local(host))
        return CRIER_OK;
    for (const char *const *allowed = env->sim_allow; allowed && *allowed; allowed++) {
        if (strcmp(*allowed, host) == 0)
            return CRIER_OK;
    }
    return crier_err_set(
        err, CRIER_EDENIED,
        "refused in --sim: %s is not this machine (--sim-allow %s lets it through)", host, host);
}
