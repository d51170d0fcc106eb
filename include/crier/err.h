/* SPDX-License-Identifier: MIT
 *
 * Errors.
 *
 * A function that can fail returns 0 or one of the negative codes below and fills the struct
 * crier_err that it was given, once, where the fault was found; callers on the way up put their
 * own words in front (crier_err_prefix) and never replace it. A NULL err is allowed everywhere
 * and means that the caller only wants the code.
 *
 * Thread: any. The struct is plain data; it owns nothing.
 */
#ifndef CRIER_ERR_H
#define CRIER_ERR_H

#include <stdarg.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
/** Part of the public interface: all else is hidden in the library and in the command. */
#define CRIER_API __attribute__((visibility("default")))
#define CRIER_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define CRIER_CHECK __attribute__((warn_unused_result))
#else
#define CRIER_API
#define CRIER_PRINTF(fmt, args)
#define CRIER_CHECK
#endif

/** When each one happens to you. */
enum crier_code {
    CRIER_OK = 0,
    CRIER_EINVAL = -1,    /**< an argument or an input text is not what the contract asks for */
    CRIER_ENOTFOUND = -2, /**< the named file, object or key does not exist */
    CRIER_EEXIST = -3,    /**< it exists already */
    CRIER_EIO = -4,       /**< the file system refused; `sys` holds errno */
    CRIER_ENET = -5,      /**< no connection, or it broke; `sys` holds errno where known */
    CRIER_ETIMEOUT = -6,  /**< the time given for it ran out */
    CRIER_EBUSY = -7,     /**< someone else holds it (state folder, port) */
    CRIER_EDENIED = -8,   /**< refused: permission, token, policy */
    CRIER_ECORRUPT = -9,  /**< stored data fails its check */
    CRIER_EVERSION = -10, /**< stored data or a plugin is of a version that this build cannot use */
    CRIER_ECONFIG = -11,  /**< the user's script or options are wrong */
    CRIER_ELIMIT = -12,   /**< a limit of ours was reached: memory, CPU budget, size */
    CRIER_ECANCELED = -13,/**< given up because the owner is stopping */
    CRIER_EINTERNAL = -14,/**< a bug in crier */
};

/** An error, in words that a user can act on. */
struct crier_err {
    int code;       /**< enum crier_code, 0 when nothing went wrong */
    int sys;        /**< errno, HTTP status or vendor code; 0 when there is none */
    char where[96]; /**< place: "bot.lua:14:20", a path, a host; may be empty */
    char text[256]; /**< object, fault and remedy in one line, no trailing newline */
};

/** Fill *err (may be NULL) and return code, so that `return crier_err_set(err, ...)` reads well.
 *  Text that does not fit ends in "...". */
CRIER_API int crier_err_set(struct crier_err *err, int code, const char *fmt, ...)
    CRIER_PRINTF(3, 4);
/** As crier_err_set, with the errno in `sys`; ": strerror" is appended to the text. */
CRIER_API int crier_err_sys(struct crier_err *err, int code, int sys, const char *fmt, ...)
    CRIER_PRINTF(4, 5);
/** Put words in front of err->text: "opening sink 'x': " + text. Returns err->code. */
CRIER_API int crier_err_prefix(struct crier_err *err, const char *fmt, ...) CRIER_PRINTF(2, 3);
/** Set err->where. */
CRIER_API void crier_err_at(struct crier_err *err, const char *fmt, ...) CRIER_PRINTF(2, 3);
/** The name of a code ("not found"), for texts. Never NULL. */
CRIER_API const char *crier_code_name(int code);

#ifdef __cplusplus
}
#endif
#endif
