/* SPDX-License-Identifier: MIT */
#include "cli/table.h"

#include <glib.h>
#include <stdio.h>
#include <string.h>

#include "sink/console.h"

int crier_column_width(const json_t *list, const char *member, int least)
{
    size_t i;
    const json_t *o;
    json_array_foreach((json_t *)list, i, o)
    {
        const char *text = json_string_value(json_object_get(o, member));
        int n = text ? (int)g_utf8_strlen(text, -1) : 0;
        least = n > least ? n : least;
    }
    return least;
}

void crier_print_cell(const char *text, int width)
{
    struct crier_buf b = {0};
    crier_buf_puts(&b, "");
    crier_console_text((struct crier_str){text, strlen(text)}, &b);
    int rest = width - (int)g_utf8_strlen(b.data, -1);
    printf("%s%*s ", b.data, rest > 0 ? rest : 0, "");
    crier_buf_fini(&b);
}
