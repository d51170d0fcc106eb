/* SPDX-License-Identifier: MIT
 * Gateway frames: text, and a zlib stream. */
#include "support.h"

#include "discord/gateway_frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct crier_gateway_frame frame;
    struct crier_gateway_inflate inflate = {0};
    struct crier_err err = {0};
    if (crier_gateway_frame_read((const char *)data, size, &frame, &err) == 0 && frame.data.len)
        MUST(frame.data.data >= (const char *)data &&
             frame.data.data + frame.data.len <= (const char *)data + size);
    if (crier_gateway_inflate(&inflate, (const char *)data, size, true, &err) == 1 &&
        crier_gateway_frame_read(inflate.out.data, inflate.out.len, &frame, &err) != 0)
        MUST(err.text[0]);
    crier_gateway_inflate_fini(&inflate);
    return 0;
}
