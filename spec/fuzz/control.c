/* SPDX-License-Identifier: MIT
 * The control socket: whatever a client sends, whole lines are answered and the host goes on. */
#include "support.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <uv.h>

#include "base/control.h"

static void on_request(void *arg, struct crier_control_conn *conn, json_t *request)
{
    unsigned *requests = arg;
    ++*requests;
    MUST(json_is_object(request));
    crier_control_finish(conn, 0, json_pack("{s:i}", "n", (int)*requests));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct crier_loop *loop;
    static struct crier_control *control;
    static unsigned requests;
    struct crier_err err = {0};
    if (!loop) {
        loop = crier_loop_new(crier_clock_real());
        MUST(crier_control_serve(loop, scratch(), on_request, &requests, &control, &err) == 0);
    }
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    snprintf(to.sun_path, sizeof to.sun_path, "%s", crier_control_path(control));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    MUST(fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) == 0);
    uv_run(crier_loop_uv(loop), UV_RUN_NOWAIT);
    (void)!send(fd, data, size, MSG_NOSIGNAL);
    shutdown(fd, SHUT_WR);
    for (int i = 0; i < 4; i++)
        uv_run(crier_loop_uv(loop), UV_RUN_NOWAIT);
    close(fd);
    for (int i = 0; i < 3; i++)
        uv_run(crier_loop_uv(loop), UV_RUN_NOWAIT);
    return 0;
}
