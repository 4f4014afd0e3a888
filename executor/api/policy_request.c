#include "executor/api/policy_request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "executor/core/artifact.h"
#include "lib/sbx_policy_doc.h"

#define SYNTAX 400
#define FIELD 422

static bool
request_texts(struct policy_request *ret, struct sbx_field_error *err)
{
    const json_t *body = ret->body;
    size_t len = 0;

    if (!sbx_json_get_str(body, "", "name", POLICY_NAME_MAX, &ret->name, &len, err) ||
        !sbx_json_get_str(body, "", "description", POLICY_DESCRIPTION_MAX, &ret->description, &len, err) ||
        !sbx_json_get_str(body, "", "message", POLICY_MESSAGE_MAX, &ret->message, &len, err)) {
        return false;
    }
    if (ret->name != NULL && !artifact_name_valid(ret->name)) {
        sbx_field_error_set(err, "/name", "must be 1 to %d bytes without control characters",
                            POLICY_NAME_MAX);
        return false;
    }
    return true;
}

/* {"tenant": true}, {"app": "web"} ... */
static bool
target_read(struct policy_target *ret, const json_t *item)
{
    const char *key = NULL;
    const json_t *value;
    char text[SBX_NAME_MAX + 16];

    if (!json_is_object(item) || json_object_size(item) != 1) {
        return false;
    }
    key = json_object_iter_key(json_object_iter((json_t *)(uintptr_t)item));
    value = json_object_get(item, key);
    if (strcmp(key, "tenant") == 0) {
        return json_is_true(value) && policy_target_parse(ret, key, strlen(key));
    }
    if (!json_is_string(value) || strlen(key) + 1 + json_string_length(value) >= sizeof(text)) {
        return false;
    }
    (void)snprintf(text, sizeof(text), "%s:%s", key, json_string_value(value)); /* fits */
    return strlen(text) == strlen(key) + 1 + json_string_length(value) &&
           policy_target_parse(ret, text, strlen(text));
}

static bool
request_targets(struct policy_request *ret, struct sbx_field_error *err)
{
    char field[sizeof(err->field)];
    json_t *items = NULL;

    if (!sbx_json_get_array(ret->body, "", "applies_to", POLICY_TARGETS_MAX, &items, err)) {
        return false;
    }
    for (size_t i = 0; items != NULL && i < json_array_size(items); i++) {
        struct policy_target *target = &ret->target[ret->n_targets];

        sbx_json_pointer(field, sizeof(field), "/applies_to", NULL, i);
        if (!target_read(target, json_array_get(items, i))) {
            sbx_field_error_set(err, field,
                                "must be {\"tenant\": true}, or one of app, agent and template with a name");
            return false;
        }
        for (unsigned before = 0; before < ret->n_targets; before++) {
            if (policy_target_equal(target, &ret->target[before])) {
                sbx_field_error_set(err, field, "is there twice");
                return false;
            }
        }
        ret->n_targets++;
    }
    return true;
}

static bool
request_missing(const struct policy_request *request, const char *key, struct sbx_field_error *err)
{
    const json_t *value = json_object_get(request->body, key);
    char field[sizeof(err->field)];

    if (value != NULL && !json_is_null(value)) {
        return false;
    }
    sbx_json_pointer(field, sizeof(field), "", key, 0);
    sbx_field_error_set(err, field, "is required");
    return true;
}

static bool
request_whole(struct policy_request *ret, struct sbx_field_error *err)
{
    static const char *const known[] = { "name", "description", "document", "applies_to", "message", NULL };

    return sbx_json_only(ret->body, "", known, err) && !request_missing(ret, "name", err) &&
           request_texts(ret, err) && !request_missing(ret, "document", err) &&
           sbx_json_get_object(ret->body, "", "document", &ret->document, err) && request_targets(ret, err);
}

static bool
request_of_targets(struct policy_request *ret, struct sbx_field_error *err)
{
    static const char *const known[] = { "applies_to", "message", NULL };

    return sbx_json_only(ret->body, "", known, err) && request_texts(ret, err) &&
           !request_missing(ret, "applies_to", err) && request_targets(ret, err);
}

static bool
request_rollback(struct policy_request *ret, struct sbx_field_error *err)
{
    static const char *const known[] = { "version", "message", NULL };
    int64_t version = 0;

    if (!sbx_json_only(ret->body, "", known, err) || request_missing(ret, "version", err) ||
        !sbx_json_get_int(ret->body, "", "version", 1, UINT32_MAX, &version, err)) {
        return false;
    }
    ret->version = (uint32_t)version;
    return request_texts(ret, err);
}

int
policy_request_parse(struct policy_request *ret, enum policy_request_kind kind, const char *text, size_t len,
                     struct sbx_field_error *err)
{
    int r;

    *ret = (struct policy_request){ 0 };
    *err = (struct sbx_field_error){ 0 };
    r = sbx_json_parse(&ret->body, text, len, err);
    if (r) {
        return r < 0 ? r : err->too_large ? FIELD : SYNTAX;
    }
    if (!json_is_object(ret->body)) {
        sbx_field_error_set(err, "", "must be an object");
        return FIELD;
    }
    switch (kind) {
    case POLICY_REQUEST_WHOLE:
        return request_whole(ret, err) ? 0 : FIELD;
    case POLICY_REQUEST_TARGETS:
        return request_of_targets(ret, err) ? 0 : FIELD;
    case POLICY_REQUEST_ROLLBACK:
        return request_rollback(ret, err) ? 0 : FIELD;
    }
    return -EINVAL;
}

void
policy_request_deinit(struct policy_request *request)
{
    json_decref(request->body);
    *request = (struct policy_request){ 0 };
}

/* A pointer into the document becomes one into the body. */
static void
error_below(struct sbx_field_error *err)
{
    char inside[sizeof(err->field)];

    memcpy(inside, err->field, sizeof(inside));
    (void)snprintf(err->field, sizeof(err->field), "/document%.*s",
                   (int)(sizeof(err->field) - sizeof("/document")), inside); /* cut, as all of them */
}

/* What is counted per tenant, app and agent: of a template there is none. */
static bool
document_fits_targets(const struct policy_record *record, const json_t *document, struct sbx_field_error *err)
{
    static const char *const counted[] = { "rates", "concurrency", "budgets" };
    char field[sizeof(err->field)];

    for (unsigned i = 0; i < record->n_targets; i++) {
        for (size_t k = 0; record->target[i].kind == POLICY_TARGET_TEMPLATE && k < SBX_COUNT(counted); k++) {
            if (json_object_get(document, counted[k]) != NULL) {
                sbx_json_pointer(field, sizeof(field), "/applies_to", NULL, i);
                sbx_field_error_set(err, field, "a document with \"%s\" cannot apply to a template",
                                    counted[k]);
                return false;
            }
        }
    }
    return true;
}

static int
document_check(const json_t *document, struct sbx_field_error *err)
{
    struct sbx_policy_doc *compiled = NULL;
    const int r = sbx_policy_doc_compile(&compiled, document, err);

    free(compiled);
    if (r == SBX_POLICY_E_FORM) {
        error_below(err);
        return FIELD;
    }
    return r;
}

int
policy_request_document(struct policy_record *record, json_t *document, struct sbx_field_error *err)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf text = SBX_BUF_INIT(POLICY_DOCUMENT_MAX);
    uint8_t digest[SBX_SHA256_LEN];
    int r;

    if (json_object_set_new(document, "id", json_string(record->id.text)) != 0 ||
        json_object_set_new(document, "version", json_integer(record->version)) != 0) {
        return -ENOMEM;
    }
    r = document_check(document, err);
    if (r) {
        return r;
    }
    if (!document_fits_targets(record, document, err)) {
        return FIELD;
    }
    sbx_json_dump(&text, document, true);
    if (text.failed) {
        sbx_field_error_set(err, "/document", "must be at most %u bytes", POLICY_DOCUMENT_MAX);
        err->too_large = true;
        return FIELD;
    }
    r = sbx_sha256(text.data, text.len, digest);
    if (r) {
        return r;
    }
    sbx_hex(record->sha256, digest, sizeof(digest));
    free(record->document);
    record->document = sbx_buf_take(&text, NULL);
    return 0;
}
