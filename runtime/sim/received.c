/* SPDX-License-Identifier: MIT
 *
 * In a file of its own: the C library's netinet/tcp.h, which libwebsockets includes, has a
 * struct tcp_info of the same name that lacks the field.
 */
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "sim/model.h"

uint64_t sim_bytes_received(int fd)
{
    struct tcp_info info = {0};
    socklen_t len = sizeof info;
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0)
        return 0;
    return info.tcpi_bytes_received;
}
