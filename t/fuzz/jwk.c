/* JWK sets and PEM files: whatever is accepted leaves keys whose algorithms fit their type. */
#include "ngx_sandbox_module/ngx_sandbox_jwk.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_keys(const struct ngx_sandbox_keys *keys)
{
    for (unsigned i = 0; i < keys->n; i++) {
        const struct ngx_sandbox_key *key = &keys->key[i];

        if (key->algs == 0 || (key->algs & ~ngx_sandbox_algs_of(key->type)) != 0 ||
            (key->pkey == NULL) != (key->type == NGX_SANDBOX_KEY_SECRET)) {
            abort();
        }
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct ngx_sandbox_key_spec plain;
    struct ngx_sandbox_keys *keys;
    struct sbx_field_error err;
    int r;

    if (size > 16384) {
        return 0;
    }
    if (ngx_sandbox_keys_new(&keys) != 0) {
        abort();
    }
    r = ngx_sandbox_jwk_load(keys, (const char *)data, size, &err);
    if (r == 0 && keys->n == 0) {
        abort();
    }
    r = ngx_sandbox_keys_add_pem(keys, (const char *)data, size, &plain, &err);
    if (r < 0 && r != -ENOMEM) {
        abort();
    }
    check_keys(keys);
    (void)ngx_sandbox_keys_free(keys); /* always NULL */
    return 0;
}
