#include "ngx_http_sandbox_auth_issuer.h"
#include "ngx_http_sandbox.h"
#include "ngx_http_sandbox_auth_conf.h"
#include "ngx_http_sandbox_auth_keys.h"


typedef struct {
    const char *name;
    ngx_uint_t min; /* words, the first aside */
    ngx_uint_t max;
    char *(*set)(ngx_conf_t *cf, ngx_http_sandbox_auth_issuer_t *issuer);
} ngx_http_sandbox_auth_word_t;


static char *ngx_http_sandbox_auth_issuer_word(ngx_conf_t *cf, ngx_command_t *dummy, void *conf);
static char *ngx_http_sandbox_auth_issuer_jwks_url(ngx_conf_t *cf, ngx_http_sandbox_auth_issuer_t *issuer);
static char *ngx_http_sandbox_auth_issuer_jwks_file(ngx_conf_t *cf, ngx_http_sandbox_auth_issuer_t *issuer);
static char *ngx_http_sandbox_auth_issuer_secret_file(ngx_conf_t *cf, ngx_http_sandbox_auth_issuer_t *issuer);
static char *ngx_http_sandbox_auth_issuer_key_file(ngx_conf_t *cf, ngx_http_sandbox_auth_issuer_t *issuer);
static char *ngx_http_sandbox_auth_issuer_tenants(ngx_conf_t *cf, ngx_http_sandbox_auth_issuer_t *issuer);
static char *ngx_http_sandbox_auth_issuer_audience(ngx_conf_t *cf, ngx_http_sandbox_auth_issuer_t *issuer);
static char *ngx_http_sandbox_auth_issuer_algorithms(ngx_conf_t *cf, ngx_http_sandbox_auth_issuer_t *issuer);
static char *ngx_http_sandbox_auth_issuer_claim(ngx_conf_t *cf, ngx_http_sandbox_auth_issuer_t *issuer);
static char *ngx_http_sandbox_auth_issuer_service_claim(ngx_conf_t *cf, ngx_http_sandbox_auth_issuer_t *issuer);
static char *ngx_http_sandbox_auth_issuer_act_for(ngx_conf_t *cf, ngx_http_sandbox_auth_issuer_t *issuer);


static const ngx_http_sandbox_auth_word_t ngx_http_sandbox_auth_issuer_words[] = {
    { "jwks_url", 1, 7, ngx_http_sandbox_auth_issuer_jwks_url },
    { "jwks_file", 1, 1, ngx_http_sandbox_auth_issuer_jwks_file },
    { "secret_file", 1, 3, ngx_http_sandbox_auth_issuer_secret_file },
    { "key_file", 1, 3, ngx_http_sandbox_auth_issuer_key_file },
    { "tenants", 1, NGX_HTTP_SANDBOX_AUTH_TENANTS_MAX, ngx_http_sandbox_auth_issuer_tenants },
    { "audience", 1, NGX_SANDBOX_JWT_NAMES_MAX, ngx_http_sandbox_auth_issuer_audience },
    { "algorithms", 1, NGX_SANDBOX_N_ALGS, ngx_http_sandbox_auth_issuer_algorithms },
    { "claim", 2, 2, ngx_http_sandbox_auth_issuer_claim },
    { "service_claim", 1, 1, ngx_http_sandbox_auth_issuer_service_claim },
    { "act_for", 1, NGX_HTTP_SANDBOX_AUTH_TENANTS_MAX, ngx_http_sandbox_auth_issuer_act_for },
    { NULL, 0, 0, NULL }
};


ngx_http_sandbox_auth_issuer_t *
ngx_http_sandbox_auth_issuer_find(ngx_array_t *issuers, const char *name)
{
    ngx_http_sandbox_auth_issuer_t *issuer;
    ngx_uint_t i;

    if (issuers == NULL || *name == '\0') {
        return NULL;
    }
    issuer = issuers->elts;
    for (i = 0; i < issuers->nelts; i++) {
        if (ngx_strcmp(issuer[i].name.data, name) == 0) {
            return &issuer[i];
        }
    }
    return NULL;
}


void
ngx_http_sandbox_auth_issuer_rules(struct ngx_sandbox_jwt_rules *ret, ngx_http_sandbox_auth_issuer_t *issuer,
    const struct ngx_sandbox_jwt_rules *rules)
{
    const char **audience;
    ngx_uint_t i;

    *ret = *rules;
    ret->keys = issuer->keys;
    ret->more = issuer->jwks == NULL ? NULL : ngx_http_sandbox_jwks_keys(issuer->jwks);
    ret->issuer[0] = (const char *) issuer->name.data;
    ret->n_issuers = 1;
    if (issuer->algs != 0) {
        ret->algs &= issuer->algs;
    }
    if (issuer->audiences != NULL) {
        audience = issuer->audiences->elts;
        for (i = 0; i < issuer->audiences->nelts; i++) {
            ret->audience[i] = audience[i];
        }
        ret->n_audiences = (unsigned) i;
    }
    for (i = 0; i < NGX_SANDBOX_N_CLAIMS; i++) {
        if (issuer->claim[i] != NULL) {
            ret->claim[i] = issuer->claim[i];
        }
    }
    if (issuer->tenants != NULL) {
        ret->tenant = issuer->tenants->elts;
        ret->n_tenants = (unsigned) issuer->tenants->nelts;
    }
    ret->has_services = true;
    ret->service_claim = issuer->service_claim;
    ret->service_value = issuer->service_value;
}


int
ngx_http_sandbox_auth_issuers_digest(struct sbx_sha256 *state, ngx_array_t *issuers)
{
    ngx_http_sandbox_auth_issuer_t *issuer;
    ngx_uint_t i;
    int rc = 0;

    if (issuers == NULL) {
        return 0;
    }
    issuer = issuers->elts;
    for (i = 0; i < issuers->nelts && rc == 0; i++) {
        rc = sbx_sha256_update(state, issuer[i].digest, SBX_SHA256_LEN);
        if (rc == 0 && issuer[i].jwks != NULL) {
            rc = ngx_http_sandbox_jwks_digest(issuer[i].jwks, state);
        }
    }
    return rc;
}


static int
ngx_http_sandbox_auth_issuer_digest_text(struct sbx_sha256 *state, const char *text)
{
    /* What is not said differs from what is empty. */
    return text == NULL ? sbx_sha256_update(state, "-", 2) : sbx_sha256_update(state, text, ngx_strlen(text) + 1);
}


static int
ngx_http_sandbox_auth_issuer_digest_list(struct sbx_sha256 *state, ngx_array_t *list)
{
    const char **text;
    ngx_uint_t i;
    int rc;

    rc = ngx_http_sandbox_auth_issuer_digest_text(state, list == NULL ? NULL : "list");
    text = list == NULL ? NULL : list->elts;
    for (i = 0; list != NULL && i < list->nelts && rc == 0; i++) {
        rc = ngx_http_sandbox_auth_issuer_digest_text(state, text[i]);
    }
    return rc == 0 ? ngx_http_sandbox_auth_issuer_digest_text(state, "end") : rc;
}


static ngx_int_t
ngx_http_sandbox_auth_issuer_digest(ngx_http_sandbox_auth_issuer_t *issuer)
{
    struct sbx_sha256 *state;
    ngx_uint_t i;
    int rc;

    if (sbx_sha256_new(&state) != 0) {
        return NGX_ERROR;
    }
    rc = ngx_http_sandbox_auth_issuer_digest_text(state, (const char *) issuer->name.data);
    if (rc == 0) {
        rc = sbx_sha256_update(state, &issuer->algs, sizeof(issuer->algs));
    }
    if (rc == 0) {
        rc = ngx_http_sandbox_auth_issuer_digest_list(state, issuer->audiences);
    }
    if (rc == 0) {
        rc = ngx_http_sandbox_auth_issuer_digest_list(state, issuer->tenants);
    }
    for (i = 0; i < NGX_SANDBOX_N_CLAIMS && rc == 0; i++) {
        rc = ngx_http_sandbox_auth_issuer_digest_text(state, issuer->claim[i]);
    }
    if (rc == 0) {
        rc = ngx_http_sandbox_auth_issuer_digest_text(state, issuer->service_claim);
    }
    if (rc == 0) {
        rc = ngx_http_sandbox_auth_issuer_digest_text(state, issuer->service_value);
    }
    if (rc == 0 && issuer->keys != NULL) {
        rc = ngx_sandbox_keys_digest(issuer->keys, state);
    }
    if (rc == 0) {
        rc = sbx_sha256_final(state, issuer->digest);
    }
    (void) sbx_sha256_free(state); /* always NULL */
    return rc == 0 ? NGX_OK : NGX_ERROR;
}


static char *
ngx_http_sandbox_auth_issuer_finish(ngx_conf_t *cf, ngx_http_sandbox_auth_issuer_t *issuer)
{
    if ((issuer->keys == NULL || issuer->keys->n == 0) && issuer->jwks == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "issuer \"%V\" has no keys: say \"jwks_url\", \"jwks_file\", "
                           "\"key_file\" or \"secret_file\"", &issuer->name);
        return NGX_CONF_ERROR;
    }
    if (!issuer->says_tenants) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "issuer \"%V\" has no tenants: say \"tenants\", with \"*\" for any",
                           &issuer->name);
        return NGX_CONF_ERROR;
    }
    if (issuer->act_for != NULL && issuer->tenants == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "issuer \"%V\": \"act_for\" needs a list of tenants, not \"*\"",
                           &issuer->name);
        return NGX_CONF_ERROR;
    }
    return ngx_http_sandbox_auth_issuer_digest(issuer) == NGX_OK ? NGX_CONF_OK : NGX_CONF_ERROR;
}


/* It is a label of metrics and a word of our log. */
static ngx_flag_t
ngx_http_sandbox_auth_issuer_name_valid(ngx_str_t *name)
{
    ngx_uint_t i;

    for (i = 0; i < name->len; i++) {
        if (name->data[i] < ' ' || name->data[i] > '~' || name->data[i] == '"' || name->data[i] == '\\') {
            return 0;
        }
    }
    return name->len != 0 && name->len <= NGX_SANDBOX_ISSUER_MAX;
}


char *
ngx_http_sandbox_auth_issuer_block(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_array_t **issuers = (ngx_array_t **) ((u_char *) conf + cmd->offset);
    ngx_str_t *value = cf->args->elts;
    ngx_http_sandbox_auth_issuer_t *issuer;
    ngx_conf_t save;
    char *rv;

    if (!ngx_http_sandbox_auth_issuer_name_valid(&value[1])) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid issuer \"%V\"", &value[1]);
        return NGX_CONF_ERROR;
    }
    if (ngx_http_sandbox_auth_issuer_find(*issuers, (const char *) value[1].data) != NULL) {
        return "is duplicate";
    }
    if (*issuers == NULL) {
        /* All there may be: pointers to its elements stay good. */
        *issuers = ngx_array_create(cf->pool, NGX_HTTP_SANDBOX_AUTH_ISSUERS_MAX, sizeof(ngx_http_sandbox_auth_issuer_t));
        if (*issuers == NULL) {
            return NGX_CONF_ERROR;
        }
    }
    if ((*issuers)->nelts == NGX_HTTP_SANDBOX_AUTH_ISSUERS_MAX) {
        return "is one too many: there may be 16";
    }
    issuer = ngx_array_push(*issuers);
    ngx_memzero(issuer, sizeof(ngx_http_sandbox_auth_issuer_t));
    issuer->name = value[1];

    save = *cf;
    cf->handler = ngx_http_sandbox_auth_issuer_word;
    cf->handler_conf = (char *) issuer;
    rv = ngx_conf_parse(cf, NULL);
    *cf = save;
    return rv == NGX_CONF_OK ? ngx_http_sandbox_auth_issuer_finish(cf, issuer) : rv;
}


static char *
ngx_http_sandbox_auth_issuer_word(ngx_conf_t *cf, ngx_command_t *dummy, void *conf)
{
    const ngx_http_sandbox_auth_word_t *word;
    ngx_str_t *value = cf->args->elts;
    char *rv;

    for (word = ngx_http_sandbox_auth_issuer_words; word->name != NULL; word++) {
        if (ngx_strcmp(value[0].data, word->name) == 0) {
            break;
        }
    }
    if (word->name == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "unknown word \"%V\" in sandbox_issuer", &value[0]);
        return NGX_CONF_ERROR;
    }
    if (cf->args->nelts - 1 < word->min || cf->args->nelts - 1 > word->max) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid number of parameters of \"%V\" in sandbox_issuer", &value[0]);
        return NGX_CONF_ERROR;
    }
    rv = word->set(cf, (ngx_http_sandbox_auth_issuer_t *) conf);
    if (rv != NGX_CONF_OK && rv != NGX_CONF_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"%V\" in sandbox_issuer %s", &value[0], rv);
        return NGX_CONF_ERROR;
    }
    return rv;
}


static char *
ngx_http_sandbox_auth_issuer_jwks_url(ngx_conf_t *cf, ngx_http_sandbox_auth_issuer_t *issuer)
{
    if (issuer->jwks != NULL) {
        return "is duplicate";
    }
    issuer->jwks = ngx_http_sandbox_jwks_new(cf, &issuer->name);
    return issuer->jwks == NULL ? NGX_CONF_ERROR : NGX_CONF_OK;
}


static char *
ngx_http_sandbox_auth_issuer_jwks_file(ngx_conf_t *cf, ngx_http_sandbox_auth_issuer_t *issuer)
{
    return ngx_http_sandbox_auth_add_keys(cf, &issuer->keys, NGX_HTTP_SANDBOX_AUTH_JWKS_FILE);
}


static char *
ngx_http_sandbox_auth_issuer_secret_file(ngx_conf_t *cf, ngx_http_sandbox_auth_issuer_t *issuer)
{
    return ngx_http_sandbox_auth_add_keys(cf, &issuer->keys, NGX_HTTP_SANDBOX_AUTH_SECRET_FILE);
}


static char *
ngx_http_sandbox_auth_issuer_key_file(ngx_conf_t *cf, ngx_http_sandbox_auth_issuer_t *issuer)
{
    return ngx_http_sandbox_auth_add_keys(cf, &issuer->keys, NGX_HTTP_SANDBOX_AUTH_KEY_FILE);
}


static int
ngx_http_sandbox_auth_issuer_compare(const void *one, const void *two)
{
    return strcmp(*(const char *const *) one, *(const char *const *) two);
}


/* The parameters as a sorted list; each a name a tenant, app or agent may have when `is_names`. */
static char *
ngx_http_sandbox_auth_issuer_list(ngx_conf_t *cf, ngx_array_t **ret, ngx_flag_t is_names)
{
    ngx_str_t *value = cf->args->elts;
    const char **text;
    ngx_uint_t i;

    if (*ret != NULL) {
        return "is duplicate";
    }
    *ret = ngx_array_create(cf->pool, cf->args->nelts - 1, sizeof(char *));
    if (*ret == NULL) {
        return NGX_CONF_ERROR;
    }
    for (i = 1; i < cf->args->nelts; i++) {
        text = ngx_array_push(*ret);
        if (text == NULL) {
            return NGX_CONF_ERROR;
        }
        *text = (const char *) value[i].data;
        if (value[i].len == 0 || value[i].len > NGX_SANDBOX_ISSUER_MAX
            || (is_names && !ngx_sandbox_identity_name_valid(*text, value[i].len)))
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid value \"%V\"", &value[i]);
            return NGX_CONF_ERROR;
        }
    }
    qsort((*ret)->elts, (*ret)->nelts, sizeof(char *), ngx_http_sandbox_auth_issuer_compare);
    return NGX_CONF_OK;
}


static char *
ngx_http_sandbox_auth_issuer_tenants(ngx_conf_t *cf, ngx_http_sandbox_auth_issuer_t *issuer)
{
    ngx_str_t *value = cf->args->elts;

    if (issuer->says_tenants) {
        return "is duplicate";
    }
    issuer->says_tenants = 1;
    if (cf->args->nelts == 2 && ngx_strcmp(value[1].data, "*") == 0) {
        return NGX_CONF_OK;
    }
    return ngx_http_sandbox_auth_issuer_list(cf, &issuer->tenants, 1);
}


static char *
ngx_http_sandbox_auth_issuer_audience(ngx_conf_t *cf, ngx_http_sandbox_auth_issuer_t *issuer)
{
    return ngx_http_sandbox_auth_issuer_list(cf, &issuer->audiences, 0);
}


static char *
ngx_http_sandbox_auth_issuer_act_for(ngx_conf_t *cf, ngx_http_sandbox_auth_issuer_t *issuer)
{
    return ngx_http_sandbox_auth_issuer_list(cf, &issuer->act_for, 1);
}


static char *
ngx_http_sandbox_auth_issuer_algorithms(ngx_conf_t *cf, ngx_http_sandbox_auth_issuer_t *issuer)
{
    ngx_str_t *value = cf->args->elts;
    enum ngx_sandbox_alg alg;
    ngx_uint_t i;

    if (issuer->algs != 0) {
        return "is duplicate";
    }
    for (i = 1; i < cf->args->nelts; i++) {
        if (!ngx_sandbox_alg_by_name(&alg, (const char *) value[i].data, value[i].len)) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid value \"%V\"", &value[i]);
            return NGX_CONF_ERROR;
        }
        issuer->algs |= 1u << alg;
    }
    return NGX_CONF_OK;
}


static char *
ngx_http_sandbox_auth_issuer_claim(ngx_conf_t *cf, ngx_http_sandbox_auth_issuer_t *issuer)
{
    return ngx_http_sandbox_auth_set_claim(cf, issuer->claim);
}


/* name or name=value */
static char *
ngx_http_sandbox_auth_issuer_service_claim(ngx_conf_t *cf, ngx_http_sandbox_auth_issuer_t *issuer)
{
    ngx_str_t *value = cf->args->elts;
    u_char *equals = ngx_strlchr(value[1].data, value[1].data + value[1].len, '=');

    if (issuer->service_claim != NULL) {
        return "is duplicate";
    }
    if (value[1].len == 0 || value[1].len > NGX_SANDBOX_ISSUER_MAX || equals == value[1].data) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid value \"%V\"", &value[1]);
        return NGX_CONF_ERROR;
    }
    issuer->service_claim = (const char *) value[1].data;
    if (equals != NULL) {
        *equals = '\0';
        issuer->service_value = (const char *) equals + 1;
    }
    return NGX_CONF_OK;
}
