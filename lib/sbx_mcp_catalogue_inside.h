/* What the files of the catalogue share. Strings borrow from its document. */
#pragma once

#include "sbx_mcp_catalogue.h"

#pragma GCC visibility push(hidden)

#define MCP_OPTIONS 4   /* of a backend */
#define MCP_VARIABLES 8 /* of a URI template */
#define MCP_ENTRIES                                                                                          \
    256 /* of resources, templates and prompts each, and of what a prompt has of arguments and messages */
#define MCP_COMPLETED 100 /* values in one answer */
#define MCP_NAME_MAX 64   /* of tools, prompts, arguments: what every client takes */
#define MCP_PATH_MAX 16384
#define MCP_BODY_MAX                                                                                         \
    (32u << 20) /* JSON that was read may be longer when it is written: 0.1 as 0.10000000000000001 */

/* One way to ask a backend. */
struct mcp_option {
    const char *when; /* the argument that must be given; NULL: always */
    const char *location, *method, *path, *idempotency_key;
    const json_t *query, *body;
    bool stream;
};

struct sbx_mcp_backend {
    unsigned n;
    struct mcp_option option[MCP_OPTIONS];
};

/* A piece of a URI template: text, then a variable. */
struct mcp_piece {
    const char *text; /* not NUL-terminated */
    size_t len;
    const char *name; /* NULL: the end */
    size_t name_len;
    bool path; /* {+name}: may hold slashes */
};

struct mcp_template {
    const char *text;
    unsigned n;
    struct mcp_piece piece[MCP_VARIABLES + 1];
};

struct mcp_resource {
    const char *uri;
    const char *contents; /* JSON of the answer's member; NULL: the backend's */
    const struct sbx_mcp_backend *backend;
};

struct mcp_completion {
    const char *name;
    const struct sbx_mcp_backend *backend;
};

struct mcp_resource_template {
    struct mcp_template uri;
    const struct sbx_mcp_backend *backend;
    unsigned n_completions;
    struct mcp_completion *completion;
};

struct mcp_argument {
    const char *name;
    bool required;
    const json_t *values; /* NULL: not known */
};

struct mcp_prompt {
    const char *name, *description;
    unsigned n_arguments;
    struct mcp_argument *argument;
    const json_t *messages; /* NULL: the backend's */
    const struct sbx_mcp_backend *backend;
};

/* Text made when the document was read. */
struct mcp_text {
    const char *data;
    size_t len;
};

struct sbx_mcp_catalogue_inside {
    json_t *document;
    void **block; /* all that was allocated */
    size_t n_blocks, cap_blocks;
    struct sbx_mcp_tool *tool;
    const struct sbx_mcp_tool *sorted[SBX_MCP_TOOLS_MAX]; /* by name */
    struct mcp_resource *resource;
    struct mcp_resource_template *template;
    struct mcp_prompt *prompt;
    unsigned n_resources, n_templates, n_prompts;
    const struct sbx_mcp_backend *task_get, *task_update, *task_cancel, *cancelled;
    bool completes;          /* something of it */
    struct mcp_text caching; /* "ttlMs":..,"cacheScope":".." */
    /* Members of results, by enum sbx_mcp_era: */
    struct mcp_text discover, initialize, resources[2], templates[2], prompts[2];
};

/* The document being read. */
struct mcp_loader {
    struct sbx_mcp_catalogue *catalogue;
    struct sbx_mcp_catalogue_inside *inside;
    struct sbx_field_error *err;
};

/* Memory that lives as long as the catalogue, zeroed; NULL. */
void *mcp_catalogue_alloc(struct mcp_loader *l, size_t n, size_t size);
/* Keeps what was written; false when it failed. Empties the buffer. */
_must_check_ bool mcp_catalogue_keep(struct mcp_loader *l, struct sbx_buf *text, struct mcp_text *ret);
/* Says what is wrong with a member (NULL: the object itself) and returns SBX_MCP_CATALOGUE_E_FORM. */
int mcp_catalogue_refuse(struct mcp_loader *l, const char *path, const char *key, const char *fmt, ...)
    _printf_(4, 5);
/* A string that must be there and is not empty. */
_must_check_ int mcp_catalogue_text(struct mcp_loader *l, const json_t *object, const char *path,
                                    const char *key, size_t max, const char **ret);
/* A list's member of that name, an array of objects; *ret NULL without one. Every item has only the known members. */
_must_check_ int mcp_catalogue_list(struct mcp_loader *l, const char *key, size_t max,
                                    const char *const *known, const json_t **ret);
/* 1 to 64 letters, digits, "_", "-", "." */
_must_check_ int mcp_catalogue_name(struct mcp_loader *l, const json_t *object, const char *path,
                                    const char **ret);
/* Writes the members that the object has and that are named, as they are, in that order. */
void mcp_catalogue_members(struct sbx_buf *out, const json_t *object, const char *const *names);

_must_check_ int mcp_catalogue_tools(struct mcp_loader *l);
_must_check_ int mcp_catalogue_resources(struct mcp_loader *l);
_must_check_ int mcp_catalogue_templates(struct mcp_loader *l);
_must_check_ int mcp_catalogue_prompts(struct mcp_loader *l);

/* What a backend's texts may name: members of `properties`, and `extra`, ended by NULL. */
struct mcp_names {
    const json_t *properties;
    const json_t *required; /* of those, the ones that are always there */
    const char *const *extra;
};

_must_check_ int mcp_backend_load(struct mcp_loader *l, const struct sbx_mcp_backend **ret,
                                  const json_t *json, const char *path, const struct mcp_names *names);

/* What stands for the names: an argument, or text. */
struct mcp_text_value {
    const char *name;
    size_t name_len;
    const char *text;
    size_t len;
};

struct mcp_values {
    const json_t *arguments; /* NULL without */
    const struct mcp_text_value *text;
    unsigned n_texts;
    const struct sbx_mcp_message *message;
    const char *state;
};

enum {
    MCP_BACKEND_E_NAME =
        1, /* a value that can't be part of a path or a header; *bad begins with its name, ended by a brace */
    MCP_BACKEND_E_LARGE, /* longer than any request, or no memory */
};

/* Fills in the call but its tool; 0 or one of the above. */
_must_check_ int mcp_backend_ask(const struct sbx_mcp_backend *backend, const struct mcp_values *values,
                                 struct sbx_mcp_call *ret, const char **bad);

/* A part of RFC 6570: {name} and {+name}, not one after the other. NULL or what is wrong. */
const char *mcp_template_parse(struct mcp_template *ret, const char *text);
/*
 * Whether the URI is one of the template's; then the values of its variables, percent-decoded, are in `values` (MCP_VARIABLES) and their
 * text in `room`, as long as the URI. No value is empty, has a control character or a "." or ".." between slashes.
 */
_must_check_ bool mcp_template_match(const struct mcp_template *template, const char *uri, size_t len,
                                     struct mcp_text_value *values, char *room);

#pragma GCC visibility pop
