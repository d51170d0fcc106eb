/* SPDX-License-Identifier: MIT */
#include "record/scan_tree.h"

#include <string.h>

#include "record/scan.h"

/* The value of an event that begins no container; NULL where jansson has to judge: of bytes that are
 * not UTF-8, of numbers that are no int64_t. */
static json_t *leaf(const struct crier_scan *scan, enum crier_scan_event event)
{
    switch (event) {
    case CRIER_SCAN_STR:
        return json_stringn(scan->s.data, scan->s.len);
    case CRIER_SCAN_INT:
        return json_integer(scan->i);
    case CRIER_SCAN_TRUE:
        return json_true();
    case CRIER_SCAN_FALSE:
        return json_false();
    case CRIER_SCAN_NULL:
        return json_null();
    case CRIER_SCAN_OBJECT:
        return json_object();
    case CRIER_SCAN_ARRAY:
        return json_array();
    default:
        return NULL;
    }
}

/* One container's items, up to its end. */
static bool items(struct crier_scan *scan, json_t *into, unsigned depth)
{
    enum { DEEPEST = 32 };
    enum crier_scan_event event;
    while ((event = crier_scan_next(scan)) != CRIER_SCAN_CLOSE) {
        json_t *v = depth < DEEPEST ? leaf(scan, event) : NULL;
        int rc = json_is_object(into)
                     ? json_object_setn_new(into, scan->key.data, scan->key.len, v)
                     : json_array_append_new(into, v);
        if (rc != 0)
            return false;
        if ((event == CRIER_SCAN_OBJECT || event == CRIER_SCAN_ARRAY) && !items(scan, v, depth + 1))
            return false;
    }
    return true;
}

static json_t *quick(const char *text, size_t len)
{
    struct crier_scan scan;
    crier_scan_init(&scan, text, len);
    enum crier_scan_event event = crier_scan_next(&scan);
    json_t *tree = leaf(&scan, event);
    bool container = event == CRIER_SCAN_OBJECT || event == CRIER_SCAN_ARRAY;
    if (tree && ((container && !items(&scan, tree, 0)) || crier_scan_next(&scan) != CRIER_SCAN_END)) {
        json_decref(tree);
        tree = NULL;
    }
    crier_scan_fini(&scan);
    return tree;
}

json_t *crier_scan_tree(const char *text, size_t len)
{
    /* Of \u0000 and of halves of surrogates they think differently. */
    bool escapes = memchr(text, '\\', len) && memmem(text, len, "\\u", 2);
    json_t *tree = escapes ? NULL : quick(text, len);
    return tree ? tree : json_loadb(text, len, JSON_DECODE_ANY, NULL);
}
