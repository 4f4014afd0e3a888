#include "ngx_http_sandbox_auth_conf.h"
#include "ngx_http_sandbox.h"
#include "ngx_http_sandbox_auth_keys.h"
#include "ngx_http_sandbox_token_cache.h"


#define NGX_HTTP_SANDBOX_AUTH_NAME_MAX  512


static const char *const ngx_http_sandbox_auth_claims[NGX_SANDBOX_N_CLAIMS] = {
    [NGX_SANDBOX_CLAIM_TENANT] = "tenant",
    [NGX_SANDBOX_CLAIM_APP] = "app",
    [NGX_SANDBOX_CLAIM_AGENT] = "agent",
    [NGX_SANDBOX_CLAIM_SUBJECT] = "subject",
    [NGX_SANDBOX_CLAIM_SCOPES] = "scopes"
};

static const char *const ngx_http_sandbox_auth_default_claims[NGX_SANDBOX_N_CLAIMS] = {
    [NGX_SANDBOX_CLAIM_TENANT] = "tenant",
    [NGX_SANDBOX_CLAIM_APP] = "app",
    [NGX_SANDBOX_CLAIM_AGENT] = "agent",
    [NGX_SANDBOX_CLAIM_SUBJECT] = "sub",
    [NGX_SANDBOX_CLAIM_SCOPES] = "scope"
};


void *
ngx_http_sandbox_auth_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_sandbox_auth_main_conf_t *amcf;

    amcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_sandbox_auth_main_conf_t));
    if (amcf != NULL) {
        amcf->bypass = NGX_CONF_UNSET;
    }
    return amcf;
}


static ngx_int_t
ngx_http_sandbox_auth_is_one_of(const char *word, const char *const *words)
{
    for ( /* void */ ; *words != NULL; words++) {
        if (ngx_strcmp(word, *words) == 0) {
            return NGX_OK;
        }
    }
    return NGX_DECLINED;
}


/* A word we do not know is no permission to guess. */
static ngx_int_t
ngx_http_sandbox_auth_env_bypass(ngx_conf_t *cf, ngx_flag_t *ret)
{
    static const char *const on[] = { "1", "true", "on", "yes", NULL };
    static const char *const off[] = { "", "0", "false", "off", "no", NULL };
    const char *value = getenv("AUTHZ_BYPASS");

    *ret = 0;
    if (value == NULL || ngx_http_sandbox_auth_is_one_of(value, off) == NGX_OK) {
        return NGX_OK;
    }
    if (ngx_http_sandbox_auth_is_one_of(value, on) == NGX_OK) {
        *ret = 1;
        return NGX_OK;
    }
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "AUTHZ_BYPASS is neither true nor false");
    return NGX_ERROR;
}


static ngx_int_t
ngx_http_sandbox_auth_init_bypass(ngx_conf_t *cf, ngx_http_sandbox_auth_main_conf_t *amcf)
{
    static const char *const environments[] = { "dev", "development", "local", "test", NULL };
    struct ngx_sandbox_identity *identity = &amcf->bypass_identity;
    const char *env = getenv("ENV");
    const char *tenant = getenv("SANDBOX_BYPASS_TENANT");

    if (amcf->bypass == NGX_CONF_UNSET && ngx_http_sandbox_auth_env_bypass(cf, &amcf->bypass) != NGX_OK) {
        return NGX_ERROR;
    }
    if (!amcf->bypass) {
        return NGX_OK;
    }
    if (env == NULL || ngx_http_sandbox_auth_is_one_of(env, environments) != NGX_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "authorization bypass is refused: ENV is not dev, development, local or test");
        return NGX_ERROR;
    }
    tenant = tenant == NULL || *tenant == '\0' ? "dev" : tenant;
    if (!ngx_sandbox_identity_name_valid(tenant, ngx_strlen(tenant))) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "SANDBOX_BYPASS_TENANT is not a tenant's name");
        return NGX_ERROR;
    }
    ngx_memcpy(identity->tenant, tenant, ngx_strlen(tenant) + 1);
    ngx_memcpy(identity->subject, "bypass", sizeof("bypass"));
    ngx_memcpy(identity->scopes, "*", sizeof("*"));
    ngx_conf_log_error(NGX_LOG_WARN, cf, 0, "authorization bypass is on: every request is tenant \"%s\"", tenant);
    return NGX_OK;
}


static char *
ngx_http_sandbox_auth_init_env_keys(ngx_conf_t *cf, ngx_http_sandbox_auth_main_conf_t *amcf)
{
    static const struct ngx_sandbox_key_spec plain;
    const char *secret = getenv("AUTH_JWT_SECRET");
    struct ngx_sandbox_bytes bytes;
    struct sbx_field_error err;
    int rc;

    if (secret == NULL || *secret == '\0') {
        return NGX_CONF_OK;
    }
    amcf->env_keys = ngx_http_sandbox_auth_new_keys(cf);
    if (amcf->env_keys == NULL) {
        return NGX_CONF_ERROR;
    }
    bytes.data = (const uint8_t *) secret;
    bytes.len = ngx_strlen(secret);
    rc = ngx_sandbox_keys_add_secret(amcf->env_keys, bytes, &plain, &err);
    return rc == 0 ? NGX_CONF_OK : ngx_http_sandbox_auth_key_error(cf, "AUTH_JWT_SECRET", &err, rc);
}


/* A list of the one name in `value`; *ret stays NULL when that is not set. */
static ngx_int_t
ngx_http_sandbox_auth_env_name(ngx_conf_t *cf, const char *value, ngx_array_t **ret)
{
    ngx_str_t *name;
    size_t len;

    if (value == NULL || *value == '\0') {
        return NGX_OK;
    }
    len = ngx_strlen(value);
    *ret = ngx_array_create(cf->pool, 1, sizeof(ngx_str_t));
    if (*ret == NULL) {
        return NGX_ERROR;
    }
    name = ngx_array_push(*ret);
    name->len = len;
    name->data = ngx_pnalloc(cf->pool, len + 1);
    if (name->data == NULL) {
        return NGX_ERROR;
    }
    ngx_memcpy(name->data, value, len + 1);
    return NGX_OK;
}


char *
ngx_http_sandbox_auth_init_main_conf(ngx_conf_t *cf, void *conf)
{
    ngx_http_sandbox_auth_main_conf_t *amcf = conf;

    if (ngx_http_sandbox_auth_init_bypass(cf, amcf) != NGX_OK
        || ngx_http_sandbox_auth_env_name(cf, getenv("AUTH_ISSUER"), &amcf->env_issuers) != NGX_OK
        || ngx_http_sandbox_auth_env_name(cf, getenv("AUTH_AUDIENCE"), &amcf->env_audiences) != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }
    return ngx_http_sandbox_auth_init_env_keys(cf, amcf);
}


void *
ngx_http_sandbox_auth_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_sandbox_auth_loc_conf_t *conf;

    /*
     * set by ngx_pcalloc():
     *
     *     conf->algs = 0; conf->claim[] = NULL; conf->keys = NULL; conf->cache = NULL;
     *     conf->rules = { 0 };
     */
    conf = ngx_pcalloc(cf->pool, sizeof(ngx_http_sandbox_auth_loc_conf_t));
    if (conf == NULL) {
        return NULL;
    }
    conf->enable = NGX_CONF_UNSET;
    conf->signed_url = NGX_CONF_UNSET;
    conf->issuers = NGX_CONF_UNSET_PTR;
    conf->tool_scopes = NGX_CONF_UNSET_PTR;
    conf->audiences = NGX_CONF_UNSET_PTR;
    conf->scopes = NGX_CONF_UNSET_PTR;
    conf->leeway = NGX_CONF_UNSET;
    conf->max_age = NGX_CONF_UNSET;
    conf->cache_off = NGX_CONF_UNSET;
    return conf;
}


static unsigned
ngx_http_sandbox_auth_fill_names(const char **ret, ngx_array_t *names)
{
    ngx_str_t *name;
    unsigned i;

    if (names == NULL) {
        return 0;
    }
    name = names->elts;
    for (i = 0; i < names->nelts; i++) {
        ret[i] = (const char *) name[i].data;
    }
    return i;
}


static int
ngx_http_sandbox_auth_digest_names(struct sbx_sha256 *state, const char *const *names, unsigned n)
{
    unsigned i;
    int rc;

    rc = sbx_sha256_update(state, &n, sizeof(n));
    for (i = 0; i < n && rc == 0; i++) {
        rc = sbx_sha256_update(state, names[i], ngx_strlen(names[i]) + 1);
    }
    return rc;
}


/* Everything that decides whether and as whom a token is accepted. */
static ngx_int_t
ngx_http_sandbox_auth_digest(ngx_http_sandbox_auth_loc_conf_t *conf)
{
    const struct ngx_sandbox_jwt_rules *rules = &conf->rules;
    uint64_t numbers[] = { rules->algs, rules->leeway_s, rules->max_age_s };
    struct sbx_sha256 *state;
    int rc;

    if (sbx_sha256_new(&state) != 0) {
        return NGX_ERROR;
    }
    rc = sbx_sha256_update(state, numbers, sizeof(numbers));
    if (rc == 0) {
        rc = ngx_http_sandbox_auth_digest_names(state, rules->issuer, rules->n_issuers);
    }
    if (rc == 0) {
        rc = ngx_http_sandbox_auth_digest_names(state, rules->audience, rules->n_audiences);
    }
    if (rc == 0) {
        rc = ngx_http_sandbox_auth_digest_names(state, rules->claim, NGX_SANDBOX_N_CLAIMS);
    }
    if (rc == 0 && rules->keys != NULL) {
        rc = ngx_sandbox_keys_digest(rules->keys, state);
    }
    if (rc == 0) {
        rc = sbx_sha256_final(state, conf->digest);
    }
    (void) sbx_sha256_free(state); /* always NULL */
    return rc == 0 ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_http_sandbox_auth_make_rules(ngx_http_sandbox_auth_loc_conf_t *conf)
{
    struct ngx_sandbox_jwt_rules *rules = &conf->rules;
    ngx_uint_t i;

    rules->keys = conf->keys;
    rules->algs = (unsigned) (conf->algs >> 1); /* NGX_CONF_BITMASK_SET is the lowest bit */
    rules->n_issuers = ngx_http_sandbox_auth_fill_names(rules->issuer, conf->issuers);
    rules->n_audiences = ngx_http_sandbox_auth_fill_names(rules->audience, conf->audiences);
    rules->leeway_s = (uint64_t) conf->leeway;
    rules->max_age_s = (uint64_t) conf->max_age;
    for (i = 0; i < NGX_SANDBOX_N_CLAIMS; i++) {
        rules->claim[i] = conf->claim[i];
    }
    return ngx_http_sandbox_auth_digest(conf);
}


char *
ngx_http_sandbox_auth_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_sandbox_auth_loc_conf_t *prev = parent;
    ngx_http_sandbox_auth_loc_conf_t *conf = child;
    ngx_http_sandbox_auth_main_conf_t *amcf;
    ngx_uint_t i;

    amcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_sandbox_auth_module);

    ngx_conf_merge_value(conf->enable, prev->enable, 0);
    ngx_conf_merge_value(conf->signed_url, prev->signed_url, 0);
    ngx_conf_merge_bitmask_value(conf->algs, prev->algs,
                                 (NGX_CONF_BITMASK_SET|(((1 << NGX_SANDBOX_N_ALGS) - 1) << 1)));
    ngx_conf_merge_ptr_value(conf->issuers, prev->issuers, amcf->env_issuers);
    ngx_conf_merge_ptr_value(conf->audiences, prev->audiences, amcf->env_audiences);
    ngx_conf_merge_ptr_value(conf->scopes, prev->scopes, NULL);
    ngx_conf_merge_ptr_value(conf->tool_scopes, prev->tool_scopes, NULL);
    if (ngx_http_sandbox_auth_merge_resource(cf, prev, conf) != NGX_OK) {
        return NGX_CONF_ERROR;
    }
    ngx_conf_merge_sec_value(conf->leeway, prev->leeway, 30);
    ngx_conf_merge_sec_value(conf->max_age, prev->max_age, 0);
    if (conf->cache_off == NGX_CONF_UNSET) {
        conf->cache = prev->cache;
        conf->cache_off = prev->cache_off;
    }
    for (i = 0; i < NGX_SANDBOX_N_CLAIMS; i++) {
        if (conf->claim[i] == NULL) {
            conf->claim[i] = prev->claim[i] != NULL ? prev->claim[i] : ngx_http_sandbox_auth_default_claims[i];
        }
    }
    if (conf->keys == NULL) {
        conf->keys = prev->keys != NULL ? prev->keys : amcf->env_keys;
    }

    if (!conf->enable) {
        return NGX_CONF_OK;
    }
    amcf->used = 1;
    if (amcf->bypass) {
        return NGX_CONF_OK;
    }
    if ((conf->keys == NULL || conf->keys->n == 0) && amcf->issuers == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"sandbox_auth on\" needs a key: \"sandbox_issuer\", "
                           "\"sandbox_auth_secret_file\", \"sandbox_auth_key_file\", \"sandbox_auth_jwks_file\" or "
                           "AUTH_JWT_SECRET");
        return NGX_CONF_ERROR;
    }
    return ngx_http_sandbox_auth_make_rules(conf) == NGX_OK ? NGX_CONF_OK : NGX_CONF_ERROR;
}


char *
ngx_http_sandbox_auth_secret_file(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_sandbox_auth_loc_conf_t *alcf = conf;

    return ngx_http_sandbox_auth_add_keys(cf, &alcf->keys, NGX_HTTP_SANDBOX_AUTH_SECRET_FILE);
}


char *
ngx_http_sandbox_auth_key_file(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_sandbox_auth_loc_conf_t *alcf = conf;

    return ngx_http_sandbox_auth_add_keys(cf, &alcf->keys, NGX_HTTP_SANDBOX_AUTH_KEY_FILE);
}


char *
ngx_http_sandbox_auth_jwks_file(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_sandbox_auth_loc_conf_t *alcf = conf;

    return ngx_http_sandbox_auth_add_keys(cf, &alcf->keys, NGX_HTTP_SANDBOX_AUTH_JWKS_FILE);
}


/* The parameters from the one numbered `first`. */
static char *
ngx_http_sandbox_auth_add_names(ngx_conf_t *cf, ngx_array_t **names, ngx_uint_t first)
{
    ngx_str_t *value = cf->args->elts;
    ngx_str_t *name;
    ngx_uint_t i;

    if (*names != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }
    if (cf->args->nelts - first > NGX_SANDBOX_JWT_NAMES_MAX) {
        return "has too many parameters";
    }
    *names = ngx_array_create(cf->pool, cf->args->nelts - first, sizeof(ngx_str_t));
    if (*names == NULL) {
        return NGX_CONF_ERROR;
    }
    for (i = first; i < cf->args->nelts; i++) {
        if (value[i].len == 0 || value[i].len > NGX_HTTP_SANDBOX_AUTH_NAME_MAX
            || ngx_strlchr(value[i].data, value[i].data + value[i].len, '"') != NULL)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid value \"%V\"", &value[i]);
            return NGX_CONF_ERROR;
        }
        name = ngx_array_push(*names);
        if (name == NULL) {
            return NGX_CONF_ERROR;
        }
        *name = value[i];
    }
    return NGX_CONF_OK;
}


char *
ngx_http_sandbox_auth_names(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    return ngx_http_sandbox_auth_add_names(cf, (ngx_array_t **) ((u_char *) conf + cmd->offset), 1);
}


char *
ngx_http_sandbox_auth_set_claim(ngx_conf_t *cf, const char **claim)
{
    ngx_str_t *value = cf->args->elts;
    ngx_uint_t i;

    for (i = 0; i < NGX_SANDBOX_N_CLAIMS; i++) {
        if (ngx_strcmp(value[1].data, ngx_http_sandbox_auth_claims[i]) == 0) {
            break;
        }
    }
    if (i == NGX_SANDBOX_N_CLAIMS || value[2].len == 0 || value[2].len > NGX_HTTP_SANDBOX_AUTH_NAME_MAX) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid claim \"%V\" \"%V\"", &value[1], &value[2]);
        return NGX_CONF_ERROR;
    }
    if (claim[i] != NULL) {
        return "is duplicate";
    }
    claim[i] = (const char *) value[2].data;
    return NGX_CONF_OK;
}


char *
ngx_http_sandbox_auth_claim(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_sandbox_auth_loc_conf_t *alcf = conf;

    return ngx_http_sandbox_auth_set_claim(cf, alcf->claim);
}


/* Notes that some location asks for them: the resource's metadata says which there are. */
static char *
ngx_http_sandbox_auth_note_scopes(ngx_conf_t *cf, ngx_array_t *scopes)
{
    ngx_http_sandbox_auth_main_conf_t *amcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_sandbox_auth_module);
    ngx_str_t *scope = scopes->elts, *known;
    ngx_uint_t i, k;

    if (amcf->scopes == NULL) {
        amcf->scopes = ngx_array_create(cf->pool, 16, sizeof(ngx_str_t));
        if (amcf->scopes == NULL) {
            return NGX_CONF_ERROR;
        }
    }
    for (i = 0; i < scopes->nelts; i++) {
        known = amcf->scopes->elts;
        for (k = 0; k < amcf->scopes->nelts; k++) {
            if (known[k].len == scope[i].len && ngx_strncmp(known[k].data, scope[i].data, scope[i].len) == 0) {
                break;
            }
        }
        if (k < amcf->scopes->nelts) {
            continue;
        }
        known = ngx_array_push(amcf->scopes);
        if (known == NULL) {
            return NGX_CONF_ERROR;
        }
        *known = scope[i];
    }
    return NGX_CONF_OK;
}


char *
ngx_http_sandbox_auth_scope(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_sandbox_auth_loc_conf_t *alcf = conf;
    char *rv;

    rv = ngx_http_sandbox_auth_add_names(cf, &alcf->scopes, 1);
    return rv == NGX_CONF_OK ? ngx_http_sandbox_auth_note_scopes(cf, alcf->scopes) : rv;
}


/* sandbox_auth_tool_scope name scope ...; */
char *
ngx_http_sandbox_auth_tool_scope(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_sandbox_auth_loc_conf_t *alcf = conf;
    ngx_str_t *value = cf->args->elts;
    ngx_http_sandbox_auth_tool_t *tool;
    ngx_uint_t i;
    char *rv;

    if (alcf->tool_scopes == NGX_CONF_UNSET_PTR) {
        alcf->tool_scopes = ngx_array_create(cf->pool, 8, sizeof(ngx_http_sandbox_auth_tool_t));
        if (alcf->tool_scopes == NULL) {
            return NGX_CONF_ERROR;
        }
    }
    if (!sbx_name_valid((const char *) value[1].data, value[1].len)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid tool \"%V\"", &value[1]);
        return NGX_CONF_ERROR;
    }
    tool = alcf->tool_scopes->elts;
    for (i = 0; i < alcf->tool_scopes->nelts; i++) {
        if (ngx_strcmp(tool[i].name.data, value[1].data) == 0) {
            return "is duplicate";
        }
    }
    tool = ngx_array_push(alcf->tool_scopes);
    if (tool == NULL) {
        return NGX_CONF_ERROR;
    }
    tool->name = value[1];
    tool->scopes = NGX_CONF_UNSET_PTR;
    rv = ngx_http_sandbox_auth_add_names(cf, &tool->scopes, 2);
    return rv == NGX_CONF_OK ? ngx_http_sandbox_auth_note_scopes(cf, tool->scopes) : rv;
}


static char *
ngx_http_sandbox_auth_cache_zone(ngx_conf_t *cf, ngx_http_sandbox_auth_loc_conf_t *alcf, ngx_str_t *value)
{
    ngx_str_t name, size_text;
    ssize_t size = 0;
    u_char *colon;

    name.data = value->data + sizeof("zone=") - 1;
    colon = ngx_strlchr(name.data, value->data + value->len, ':');
    name.len = (colon == NULL ? value->data + value->len : colon) - name.data;
    if (colon != NULL) {
        size_text.data = colon + 1;
        size_text.len = value->data + value->len - size_text.data;
        size = ngx_parse_size(&size_text);
    }
    if (name.len == 0 || (colon != NULL && size < (ssize_t) (8 * ngx_pagesize))) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid zone \"%V\" (at least 8 pages)", value);
        return NGX_CONF_ERROR;
    }
    alcf->cache = ngx_http_sandbox_token_cache_zone(cf, &name, (size_t) size);
    return alcf->cache == NULL ? NGX_CONF_ERROR : NGX_CONF_OK;
}


char *
ngx_http_sandbox_auth_cache(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_sandbox_auth_loc_conf_t *alcf = conf;
    ngx_str_t *value = cf->args->elts;

    if (alcf->cache_off != NGX_CONF_UNSET) {
        return "is duplicate";
    }
    alcf->cache_off = ngx_strcmp(value[1].data, "off") == 0;
    if (alcf->cache_off) {
        return NGX_CONF_OK;
    }
    if (ngx_strncmp(value[1].data, "zone=", 5) != 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid parameter \"%V\"", &value[1]);
        return NGX_CONF_ERROR;
    }
    return ngx_http_sandbox_auth_cache_zone(cf, alcf, &value[1]);
}


char *
ngx_http_sandbox_auth_check_leeway(ngx_conf_t *cf, void *post, void *data)
{
    time_t *leeway = data;

    if (*leeway > NGX_SANDBOX_JWT_LEEWAY_MAX) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "the leeway is at most %d s", NGX_SANDBOX_JWT_LEEWAY_MAX);
        return NGX_CONF_ERROR;
    }
    return NGX_CONF_OK;
}
