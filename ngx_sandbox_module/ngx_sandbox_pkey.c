#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "ngx_sandbox_pkey.h"

#define EC_COORDINATE_MAX 48
#define ED25519_KEY_LEN 32

struct ngx_sandbox_pkey {
    EVP_PKEY *evp;
    enum ngx_sandbox_key_type type;
    char *pem;
    size_t pem_len;
};

static const struct {
    const char *name;
    enum ngx_sandbox_key_type type;
    size_t signature_len; /* 0: the key's modulus */
    const char *digest;   /* NULL: the algorithm hashes by itself */
    bool pss;
} algs[NGX_SANDBOX_N_ALGS] = {
    [NGX_SANDBOX_ALG_HS256] = { "HS256", NGX_SANDBOX_KEY_SECRET, 32, "SHA256", false },
    [NGX_SANDBOX_ALG_HS384] = { "HS384", NGX_SANDBOX_KEY_SECRET, 48, "SHA384", false },
    [NGX_SANDBOX_ALG_HS512] = { "HS512", NGX_SANDBOX_KEY_SECRET, 64, "SHA512", false },
    [NGX_SANDBOX_ALG_RS256] = { "RS256", NGX_SANDBOX_KEY_RSA, 0, "SHA256", false },
    [NGX_SANDBOX_ALG_PS256] = { "PS256", NGX_SANDBOX_KEY_RSA, 0, "SHA256", true },
    [NGX_SANDBOX_ALG_ES256] = { "ES256", NGX_SANDBOX_KEY_P256, 64, "SHA256", false },
    [NGX_SANDBOX_ALG_ES384] = { "ES384", NGX_SANDBOX_KEY_P384, 96, "SHA384", false },
    [NGX_SANDBOX_ALG_EDDSA] = { "EdDSA", NGX_SANDBOX_KEY_ED25519, 64, NULL, false },
};

bool
ngx_sandbox_alg_by_name(enum ngx_sandbox_alg *ret, const char *name, size_t len)
{
    for (unsigned i = 0; i < NGX_SANDBOX_N_ALGS; i++) {
        if (strlen(algs[i].name) == len && memcmp(algs[i].name, name, len) == 0) {
            *ret = (enum ngx_sandbox_alg)i;
            return true;
        }
    }
    return false;
}

const char *
ngx_sandbox_alg_name(enum ngx_sandbox_alg alg)
{
    return algs[alg].name;
}

unsigned
ngx_sandbox_algs_of(enum ngx_sandbox_key_type type)
{
    unsigned set = 0;

    for (unsigned i = 0; i < NGX_SANDBOX_N_ALGS; i++) {
        if (algs[i].type == type) {
            set |= 1u << i;
        }
    }
    return set;
}

size_t
ngx_sandbox_signature_len(enum ngx_sandbox_alg alg, const struct ngx_sandbox_pkey *pkey)
{
    if (algs[alg].signature_len != 0 || pkey == NULL) {
        return algs[alg].signature_len;
    }
    return (size_t)EVP_PKEY_get_size(pkey->evp);
}

static void
evp_freep(EVP_PKEY **evp)
{
    EVP_PKEY_free(*evp);
}

static void
evp_ctx_freep(EVP_PKEY_CTX **ctx)
{
    EVP_PKEY_CTX_free(*ctx);
}

static void
md_ctx_freep(EVP_MD_CTX **ctx)
{
    EVP_MD_CTX_free(*ctx);
}

static void
bio_freep(BIO **bio)
{
    BIO_free(*bio);
}

static void
x509_freep(X509 **cert)
{
    X509_free(*cert);
}

static void
bn_freep(BIGNUM **bn)
{
    BN_free(*bn);
}

static void
param_bld_freep(OSSL_PARAM_BLD **bld)
{
    OSSL_PARAM_BLD_free(*bld);
}

static void
params_freep(OSSL_PARAM **params)
{
    OSSL_PARAM_free(*params);
}

static void
ecdsa_sig_freep(ECDSA_SIG **sig)
{
    ECDSA_SIG_free(*sig);
}

static void
openssl_freep(unsigned char **data)
{
    OPENSSL_free(*data);
}

static void
pkey_freep(struct ngx_sandbox_pkey **pkey)
{
    (void)ngx_sandbox_pkey_free(*pkey); /* always NULL */
}

struct ngx_sandbox_pkey *
ngx_sandbox_pkey_free(struct ngx_sandbox_pkey *pkey)
{
    if (pkey == NULL) {
        return NULL;
    }
    free(pkey->pem);
    EVP_PKEY_free(pkey->evp);
    free(pkey);
    return NULL;
}

static bool
classify(EVP_PKEY *evp, enum ngx_sandbox_key_type *ret)
{
    char group[32];
    size_t len;
    int bits;

    if (EVP_PKEY_is_a(evp, "RSA")) {
        bits = EVP_PKEY_get_bits(evp);
        *ret = NGX_SANDBOX_KEY_RSA;
        return bits >= NGX_SANDBOX_RSA_BITS_MIN && bits <= NGX_SANDBOX_RSA_BITS_MAX;
    }
    if (EVP_PKEY_is_a(evp, "ED25519")) {
        *ret = NGX_SANDBOX_KEY_ED25519;
        return true;
    }
    if (!EVP_PKEY_is_a(evp, "EC") || !EVP_PKEY_get_group_name(evp, group, sizeof(group), &len)) {
        return false;
    }
    if (strcmp(group, "prime256v1") == 0 || strcmp(group, "P-256") == 0) {
        *ret = NGX_SANDBOX_KEY_P256;
        return true;
    }
    if (strcmp(group, "secp384r1") == 0 || strcmp(group, "P-384") == 0) {
        *ret = NGX_SANDBOX_KEY_P384;
        return true;
    }
    return false;
}

/* An EC point off its curve or a small-order modulus must fail here, at start, not at the first token. */
static bool
public_ok(EVP_PKEY *evp)
{
    _cleanup_(evp_ctx_freep) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(evp, NULL);

    return ctx != NULL && EVP_PKEY_public_check(ctx) == 1;
}

static int
pem_of(EVP_PKEY *evp, char **ret, size_t *ret_len)
{
    _cleanup_(bio_freep) BIO *bio = BIO_new(BIO_s_mem());
    char *data, *text;
    long len;

    if (bio == NULL || PEM_write_bio_PUBKEY(bio, evp) != 1) {
        return -ENOMEM;
    }
    len = BIO_get_mem_data(bio, &data);
    if (len <= 0) {
        return -ENOMEM;
    }
    text = calloc(1, (size_t)len + 1);
    if (text == NULL) {
        return -ENOMEM;
    }
    memcpy(text, data, (size_t)len);
    *ret = text;
    *ret_len = (size_t)len;
    return 0;
}

/* Takes *evp. */
static int
pkey_new(struct ngx_sandbox_pkey **ret, EVP_PKEY **evp)
{
    _cleanup_(pkey_freep) struct ngx_sandbox_pkey *pkey = NULL;
    int r;

    pkey = calloc(1, sizeof(*pkey));
    if (pkey == NULL) {
        return -ENOMEM;
    }
    pkey->evp = steal(evp);
    if (!classify(pkey->evp, &pkey->type)) {
        return PKEY_E_TYPE;
    }
    if (!public_ok(pkey->evp)) {
        ERR_clear_error();
        return PKEY_E_FORM;
    }
    r = pem_of(pkey->evp, &pkey->pem, &pkey->pem_len);
    if (r) {
        return r;
    }
    *ret = steal(&pkey);
    return 0;
}

int
ngx_sandbox_pkey_from_pem(struct ngx_sandbox_pkey **ret, const char *pem, size_t len)
{
    _cleanup_(evp_freep) EVP_PKEY *evp = NULL;
    _cleanup_(bio_freep) BIO *bio = NULL;
    _cleanup_(x509_freep) X509 *cert = NULL;

    if (len > INT_MAX) {
        return PKEY_E_FORM;
    }
    bio = BIO_new_mem_buf(pem, (int)len);
    if (bio == NULL) {
        return -ENOMEM;
    }
    evp = PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
    if (evp == NULL && BIO_reset(bio) == 1) {
        cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
        evp = cert == NULL ? NULL : X509_get_pubkey(cert);
    }
    ERR_clear_error();
    return evp == NULL ? PKEY_E_FORM : pkey_new(ret, &evp);
}

static int
pkey_from_params(struct ngx_sandbox_pkey **ret, const char *type, OSSL_PARAM_BLD *bld)
{
    _cleanup_(evp_ctx_freep) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    _cleanup_(params_freep) OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);
    _cleanup_(evp_freep) EVP_PKEY *evp = NULL;

    if (ctx == NULL || params == NULL) {
        return -ENOMEM;
    }
    if (EVP_PKEY_fromdata_init(ctx) != 1 || EVP_PKEY_fromdata(ctx, &evp, EVP_PKEY_PUBLIC_KEY, params) != 1) {
        ERR_clear_error();
        return PKEY_E_FORM;
    }
    return pkey_new(ret, &evp);
}

int
ngx_sandbox_pkey_from_rsa(struct ngx_sandbox_pkey **ret, struct ngx_sandbox_bytes n,
                          struct ngx_sandbox_bytes e)
{
    _cleanup_(param_bld_freep) OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    _cleanup_(bn_freep) BIGNUM *modulus = NULL;
    _cleanup_(bn_freep) BIGNUM *exponent = NULL;

    if (n.len == 0 || n.len > NGX_SANDBOX_SIGNATURE_MAX || e.len == 0 || e.len > 8) {
        return PKEY_E_FORM;
    }
    modulus = BN_bin2bn(n.data, (int)n.len, NULL);
    exponent = BN_bin2bn(e.data, (int)e.len, NULL);
    if (bld == NULL || modulus == NULL || exponent == NULL) {
        return -ENOMEM;
    }
    if (!BN_is_odd(modulus) || !BN_is_odd(exponent) || BN_is_one(exponent)) {
        return PKEY_E_FORM;
    }
    if (!OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, modulus) ||
        !OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, exponent)) {
        return -ENOMEM;
    }
    return pkey_from_params(ret, "RSA", bld);
}

int
ngx_sandbox_pkey_from_ec(struct ngx_sandbox_pkey **ret, enum ngx_sandbox_key_type type,
                         struct ngx_sandbox_bytes x, struct ngx_sandbox_bytes y)
{
    _cleanup_(param_bld_freep) OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    size_t coordinate = type == NGX_SANDBOX_KEY_P256 ? 32 : EC_COORDINATE_MAX;
    uint8_t point[1 + 2 * EC_COORDINATE_MAX];

    if (x.len != coordinate || y.len != coordinate) {
        return PKEY_E_FORM;
    }
    point[0] = 0x04;
    memcpy(point + 1, x.data, coordinate);
    memcpy(point + 1 + coordinate, y.data, coordinate);
    if (bld == NULL ||
        !OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME,
                                         type == NGX_SANDBOX_KEY_P256 ? "P-256" : "P-384", 0) ||
        !OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * coordinate)) {
        return -ENOMEM;
    }
    return pkey_from_params(ret, "EC", bld);
}

int
ngx_sandbox_pkey_from_ed25519(struct ngx_sandbox_pkey **ret, struct ngx_sandbox_bytes x)
{
    _cleanup_(evp_freep) EVP_PKEY *evp = NULL;

    if (x.len != ED25519_KEY_LEN) {
        return PKEY_E_FORM;
    }
    evp = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, x.data, x.len);
    ERR_clear_error();
    return evp == NULL ? PKEY_E_FORM : pkey_new(ret, &evp);
}

enum ngx_sandbox_key_type
ngx_sandbox_pkey_type(const struct ngx_sandbox_pkey *pkey)
{
    return pkey->type;
}

const char *
ngx_sandbox_pkey_pem(const struct ngx_sandbox_pkey *pkey, size_t *ret_len)
{
    *ret_len = pkey->pem_len;
    return pkey->pem;
}

/* JOSE's r||s to the DER that OpenSSL wants; *ret is freed with OPENSSL_free. */
static int
ecdsa_to_der(struct ngx_sandbox_bytes raw, unsigned char **ret, size_t *ret_len)
{
    _cleanup_(ecdsa_sig_freep) ECDSA_SIG *sig = ECDSA_SIG_new();
    _cleanup_(bn_freep) BIGNUM *r = BN_bin2bn(raw.data, (int)(raw.len / 2), NULL);
    _cleanup_(bn_freep) BIGNUM *s = BN_bin2bn(raw.data + raw.len / 2, (int)(raw.len / 2), NULL);
    int len;

    if (sig == NULL || r == NULL || s == NULL) {
        return -ENOMEM;
    }
    if (BN_is_zero(r) || BN_is_zero(s)) {
        return PKEY_E_SIGNATURE;
    }
    if (ECDSA_SIG_set0(sig, r, s) != 1) {
        return -ENOMEM;
    }
    r = NULL;
    s = NULL;
    *ret = NULL;
    len = i2d_ECDSA_SIG(sig, ret);
    if (len <= 0) {
        return -ENOMEM;
    }
    *ret_len = (size_t)len;
    return 0;
}

static int
evp_verify(EVP_PKEY *evp, enum ngx_sandbox_alg alg, struct ngx_sandbox_bytes data,
           struct ngx_sandbox_bytes signature)
{
    _cleanup_(md_ctx_freep) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx; /* belongs to ctx */
    int r;

    if (ctx == NULL || EVP_DigestVerifyInit_ex(ctx, &pctx, algs[alg].digest, NULL, NULL, evp, NULL) != 1) {
        ERR_clear_error();
        return -ENOMEM;
    }
    if (algs[alg].pss && (EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) != 1 ||
                          EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, RSA_PSS_SALTLEN_DIGEST) != 1)) {
        ERR_clear_error();
        return -EINVAL;
    }
    r = EVP_DigestVerify(ctx, signature.data, signature.len, data.data, data.len);
    ERR_clear_error();
    return r == 1 ? 0 : PKEY_E_SIGNATURE;
}

int
ngx_sandbox_pkey_verify(const struct ngx_sandbox_pkey *pkey, enum ngx_sandbox_alg alg,
                        struct ngx_sandbox_bytes data, struct ngx_sandbox_bytes signature)
{
    _cleanup_(openssl_freep) unsigned char *der = NULL;
    struct ngx_sandbox_bytes given = signature;
    int r;

    if (pkey->type != algs[alg].type || signature.len != ngx_sandbox_signature_len(alg, pkey)) {
        return PKEY_E_SIGNATURE;
    }
    if (pkey->type == NGX_SANDBOX_KEY_P256 || pkey->type == NGX_SANDBOX_KEY_P384) {
        r = ecdsa_to_der(signature, &der, &given.len);
        if (r) {
            return r;
        }
        given.data = der;
    }
    return evp_verify(pkey->evp, alg, data, given);
}

int
ngx_sandbox_secret_verify(struct ngx_sandbox_bytes secret, enum ngx_sandbox_alg alg,
                          struct ngx_sandbox_bytes data, struct ngx_sandbox_bytes signature)
{
    unsigned char mac[EVP_MAX_MD_SIZE];
    size_t len;
    bool equal;

    if (algs[alg].type != NGX_SANDBOX_KEY_SECRET || signature.len != algs[alg].signature_len) {
        return PKEY_E_SIGNATURE;
    }
    if (EVP_Q_mac(NULL, "HMAC", NULL, algs[alg].digest, NULL, secret.data, secret.len, data.data, data.len,
                  mac, sizeof(mac), &len) == NULL) {
        ERR_clear_error();
        return -ENOMEM;
    }
    equal = len == signature.len && CRYPTO_memcmp(mac, signature.data, len) == 0;
    OPENSSL_cleanse(mac, sizeof(mac));
    return equal ? 0 : PKEY_E_SIGNATURE;
}
