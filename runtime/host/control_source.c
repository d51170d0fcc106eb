/* SPDX-License-Identifier: MIT */
#include "host/private.h"

#include <string.h>

/* The text of what runs, which may not be what the files hold by now: for `crier diff`. */
void crier_control_cmd_source(struct crier_host *host, struct crier_control_conn *conn)
{
    const struct crier_vm *vm = host->current->vm;
    json_t *files = json_object();
    for (size_t i = 0; i < vm->file_count; i++) {
        if (!vm->texts[i])
            continue;
        char *text = g_base64_encode((const guchar *)vm->texts[i], strlen(vm->texts[i]));
        json_object_set_new(files, vm->files[i], json_string(text));
        g_free(text);
    }
    crier_control_finish(conn, 0,
                         json_pack("{s:s, s:s, s:o}", "file", host->current->path, "state",
                                   host->state_folder, "files", files));
}
