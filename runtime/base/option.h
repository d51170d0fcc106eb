/* SPDX-License-Identifier: MIT
 *
 * Options, declared once as a table. From one table come the validation of what a script says,
 * `crier help NAME`, and the editor stubs' contents (spec/stubs_spec.lua compares them).
 *
 * This header is only the declaration and the typed values; reading them out of a Lua table is
 * script/schema.h.
 *
 * Thread: tables are constant; a value set belongs to one owner, and is immutable once a sink has
 * been opened with it.
 */
#ifndef CRIER_BASE_OPTION_H
#define CRIER_BASE_OPTION_H

#include "base/buf.h"

enum crier_option_type {
    CRIER_OPT_STRING,
    CRIER_OPT_BOOL,
    CRIER_OPT_INT,         /**< integer, with min and max */
    CRIER_OPT_NUMBER,
    CRIER_OPT_DURATION,    /**< microseconds in `i` */
    CRIER_OPT_SIZE,        /**< bytes in `i` */
    CRIER_OPT_PATH,        /**< made absolute against the script's folder */
    CRIER_OPT_ENUM,        /**< one of `choices`, its index in `i`, its text in `s` */
    CRIER_OPT_STRINGS,     /**< one string or a list of them */
    CRIER_OPT_SNOWFLAKE,   /**< Discord id, in `i`; strings or integers, never floats */
    CRIER_OPT_SNOWFLAKES,  /**< a list of them (or one), in `ids` */
    CRIER_OPT_SECRET,      /**< crier.secret.*, or a plain string (warned about); a sink's `open`
                                gets the secret itself in `s` */
    /* These need Lua or other objects; script/ reads them by functions of its own. */
    CRIER_OPT_FUNCTION,
    CRIER_OPT_OBJECT,      /**< see `help`; read by the declaration itself */
};

enum {
    CRIER_OPT_REQUIRED = 1,
    CRIER_OPT_OR_FALSE = 2, /**< `false` lifts it: `off` is set */
    CRIER_OPT_ADDRESS = 4,  /**< SECRET: an URL or a DSN, which may stand in the script (with a
                                 warning where there is a password in it) */
    CRIER_OPT_PATTERN = 16, /**< SNOWFLAKE: a pattern will do too; it is read by the declaration */
    CRIER_OPT_CARRIED = 8,  /**< FUNCTION: of a text, to a text; run elsewhere, its code in `s` */
};

struct crier_option {
    const char *name;
    enum crier_option_type type;
    unsigned flags;
    const char *def;     /**< default as the user would write it, for help; NULL = none */
    const char *choices; /**< ENUM: "send edit clear-send" */
    int64_t min, max;    /**< INT, SIZE, DURATION; both 0 = no bound */
    const char *type_name; /**< what the user reads: "duration"; NULL = from the type. Used for
                                LuaCATS stubs too, e.g. "string|string[]" */
    const char *help;    /**< one line */
};

struct crier_option_value {
    bool set;        /**< given by the user (defaults are filled in with set = false) */
    bool off;        /**< given as `false` where CRIER_OPT_OR_FALSE allows it */
    int64_t i;       /**< BOOL, INT, DURATION, SIZE, ENUM, SNOWFLAKE (bits) */
    double n;        /**< NUMBER */
    char *s;         /**< STRING, PATH, ENUM, SECRET (the secret's reference, never its value) */
    char **list;     /**< STRINGS */
    uint64_t *ids;   /**< SNOWFLAKES */
    size_t count;    /**< of list or ids */
};

/** The values of one option table, in its order. */
struct crier_options {
    const struct crier_option *table;
    size_t count;
    struct crier_option_value *values;
};

/** All values unset, defaults parsed and filled in. The table is borrowed (static). */
void crier_options_init(struct crier_options *o, const struct crier_option *table, size_t count);
void crier_options_fini(struct crier_options *o);
/** Frees what a value holds (a default, say) and zeroes it, before another is put there. */
void crier_option_value_fini(struct crier_option_value *v);
/** By name; aborts on a name that is not in the table (a bug). */
const struct crier_option_value *crier_options_get(const struct crier_options *o,
                                                   const char *name);
/** Same table and same values: a sink declared so again is kept at reload. */
bool crier_options_equal(const struct crier_options *a, const struct crier_options *b);
/** What a user reads for a type: "duration", "one of send, edit, clear-send". Into out. */
const char *crier_option_type_text(const struct crier_option *opt, char *out, size_t cap);
/** The table as text for `crier help`, or (json) as one JSON array of
 *  {name,type,required,default,help}. */
void crier_options_help(const struct crier_option *table, size_t count, bool json,
                        struct crier_buf *out);

#endif
