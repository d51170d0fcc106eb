/* SPDX-License-Identifier: MIT
 *
 * rediss://: TLS, where hiredis has it (1.0 and newer, with its library hiredis_ssl). The server's
 * certificate is checked against the system's authorities, or those of SSL_CERT_FILE, and against
 * the host's name, which hiredis by itself does not look at.
 */
#include "sink/redis.h"

#ifdef CRIER_REDIS_TLS

#include <arpa/inet.h>
#include <hiredis/hiredis_ssl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

bool crier_redis_has_tls(void)
{
    return true;
}

static bool check_host(SSL *ssl, const char *host)
{
    unsigned char address[16];
    if (inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1)
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
    return SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1;
}

int crier_redis_tls(redisContext *context, const struct crier_redis_url *url, struct crier_err *err)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl = NULL;
    int rc = CRIER_OK;
    if (ctx && SSL_CTX_set_default_verify_paths(ctx) == 1 &&
        SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1)
        ssl = SSL_new(ctx);
    if (!ssl || !check_host(ssl, url->host)) {
        rc = crier_err_set(err, CRIER_EINTERNAL, "redis %s: OpenSSL cannot be set up", url->shown);
        goto out;
    }
    SSL_set_verify(ssl, SSL_VERIFY_PEER, NULL);
    if (redisInitiateSSL(context, ssl) == REDIS_OK) {
        ssl = NULL; /* the connection's now */
    } else {
        long verdict = SSL_get_verify_result(ssl);
        rc = crier_err_set(err, CRIER_ENET, "redis %s: TLS: %s", url->shown,
                           verdict != X509_V_OK ? X509_verify_cert_error_string(verdict)
                                                : context->errstr);
    }
out:
    ERR_clear_error();
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    return rc;
}

#else

bool crier_redis_has_tls(void)
{
    return false;
}

int crier_redis_tls(redisContext *context, const struct crier_redis_url *url, struct crier_err *err)
{
    (void)context;
    return crier_err_set(err, CRIER_ECONFIG, "redis %s: this build has no TLS", url->shown);
}

#endif
