/* SPDX-License-Identifier: MIT
 *
 * The bodies of Create Message and Edit Message: JSON, and multipart/form-data when there are
 * files (Discord's reference page, Uploading Files, and resources/message).
 *
 * `allowed_mentions` is always there, since Discord otherwise pings whom the text names, at edits
 * too. An edit says everything, so that it replaces everything: no text is "content":"", no embed
 * "embeds":[], no file "attachments":[].
 *
 * Thread: [any]; pure.
 */
#ifndef CRIER_DISCORD_REQUEST_H
#define CRIER_DISCORD_REQUEST_H

#include "discord/client.h"

/** The payload. nonce NULL: an edit. mentions NULL: nobody is pinged. */
void crier_request_payload(const struct crier_content *content,
                           const struct crier_mentions *mentions, const char *nonce,
                           struct crier_buf *out);
/** Put payload (and the files of content, read when sent) into an initialised request. */
void crier_request_body(struct crier_http_request *req, const struct crier_content *content,
                        const char *payload, size_t len);

#endif
