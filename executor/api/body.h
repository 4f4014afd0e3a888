/*
 * The members that the bodies of several requests have, each parsed in one place. Each of these returns false with err
 * filled, or with fatal set.
 */
#pragma once

#include "executor/api/job_request.h"

struct body {
    const json_t *json;
    struct job_spec *spec; /* what it says; owns the json */
    struct sbx_field_error *err;
    int fatal; /* -errno: memory, not the client's fault */
};

/* Parses it, checks that it is an object with none but these members, and makes a spec: conditions of job_request.h. */
_must_check_ int body_open(struct body *ret, const char *text, size_t len, const char *const *known,
                           struct sbx_field_error *err);
/* What the parsing came to: takes the spec into *ret, or frees it. */
_must_check_ int body_close(struct body *body, bool fine, struct job_spec **ret);

bool body_fail(struct body *body, const char *field, const char *message);
bool body_too_large(struct body *body, const char *field, const char *message);
bool body_fatal(struct body *body, int rc);
const json_t *body_member(const struct body *body, const char *key);
bool body_name(struct body *body, const char *key, size_t max_len, const char **ret);
bool body_language(struct body *body);
bool body_template(struct body *body);
bool body_isolation(struct body *body);
bool body_code(struct body *body);
bool body_encoding(struct body *body, const json_t *object, const char *path, const char *key,
                   bool *ret_base64);
size_t body_base64_max(size_t len);
/* Takes data, which is malloc'd, when it returns true; false: there is no memory. */
_must_check_ bool body_own(struct job_spec *spec, void *data, size_t len);
bool body_base64(struct body *body, const char *field, const char *text, size_t len, const void **ret,
                 size_t *ret_len);
bool body_env(struct body *body);
bool body_path_valid(const char *path, size_t max_len);
bool body_files(struct body *body);
bool body_limits(struct body *body);
bool body_dump(struct body *body, const json_t *json, size_t max, const char *field, char **ret,
               size_t *ret_len);
bool body_metadata(struct body *body);
bool body_wait(struct body *body);
