/*
 * What a server of the Model Context Protocol offers, as one document: docs/mcp.md, "The catalogue". Read once when the configuration is;
 * after that nothing of it changes.
 */
#pragma once

#include "sbx_mcp_message.h"
#include "sbx_schema.h"

#pragma GCC visibility push(hidden)

#define SBX_MCP_CATALOGUE_MAX (1u << 20)
#define SBX_MCP_TOOLS_MAX 64 /* a set of tools is a uint64_t */

enum {
    SBX_MCP_CATALOGUE_E_FORM = 1, /* *err says where in the document */
};

/* Where a request goes, and how it is written there. */
struct sbx_mcp_backend;

struct sbx_mcp_tool {
    const char *name;
    const char *tool; /* as policy, scopes and limits name it: the name, unless the document says otherwise */
    const struct sbx_schema *input;
    const struct sbx_mcp_backend *backend;
    bool answers_tasks;  /* may answer with a task when the client declared the extension */
    bool needs_tasks;    /* can't be called without it */
    unsigned needs;      /* SBX_MCP_CAN_* that the client must have declared */
    const char *text[2]; /* its object in tools/list, by enum sbx_mcp_era; JSON */
    size_t text_len[2];
    /* Properties of its schema that clients repeat in headers (x-mcp-header); ended by NULL. */
    const struct sbx_mcp_mirror *mirrors;
};

struct sbx_mcp_mirror {
    const char *header;   /* lower case, "mcp-param-..." */
    const char *property; /* of the arguments */
};

struct sbx_mcp_catalogue {
    unsigned n_tools;
    const struct sbx_mcp_tool *tool; /* in the order of the document */
    const char *server_info; /* JSON of _meta["io.modelcontextprotocol/serverInfo"] and of serverInfo */
    bool lists_change;       /* tools.listChanged was declared */
    bool legacy_logging, legacy_subscribe;
    uint32_t ttl_ms; /* caching hint */
    /* Opaque to others: sbx_mcp_catalogue.c and its neighbours. */
    struct sbx_mcp_catalogue_inside *inside;
};

/* The text of a document; 0, SBX_MCP_CATALOGUE_E_FORM or -ENOMEM. */
_must_check_ int sbx_mcp_catalogue_load(struct sbx_mcp_catalogue **ret, const char *text, size_t len,
                                        struct sbx_field_error *err);
struct sbx_mcp_catalogue *sbx_mcp_catalogue_free(struct sbx_mcp_catalogue *catalogue);

/*
 * The internal location of the tool's i-th backend, counted from 0; NULL past the last. Whoever may use the tool may go to one of them: that is
 * looked up once, when the configuration is read.
 */
const char *sbx_mcp_tool_location(const struct sbx_mcp_tool *tool, unsigned i);

const struct sbx_mcp_tool *sbx_mcp_catalogue_tool(const struct sbx_mcp_catalogue *catalogue, const char *name,
                                                  size_t len);

/*
 * The members of a result, without the braces around it and without what every result has (resultType, _meta): for discover, initialize
 * (`version` is the one agreed on), the lists. Appended; sticky failure in the buffer. Of the lists only those with a cursor of ours would have a next page: none has,
 * and any cursor is refused before.
 */
void sbx_mcp_catalogue_discover(const struct sbx_mcp_catalogue *catalogue, struct sbx_buf *out);
void sbx_mcp_catalogue_initialize(const struct sbx_mcp_catalogue *catalogue, struct sbx_buf *out,
                                  const char *version);
/* Of the tools whose bit is set, bit i for tool[i]. */
void sbx_mcp_catalogue_tools(const struct sbx_mcp_catalogue *catalogue, struct sbx_buf *out,
                             enum sbx_mcp_era era, uint64_t tools);
void sbx_mcp_catalogue_resources(const struct sbx_mcp_catalogue *catalogue, struct sbx_buf *out,
                                 enum sbx_mcp_era era);
void sbx_mcp_catalogue_templates(const struct sbx_mcp_catalogue *catalogue, struct sbx_buf *out,
                                 enum sbx_mcp_era era);
void sbx_mcp_catalogue_prompts(const struct sbx_mcp_catalogue *catalogue, struct sbx_buf *out,
                               enum sbx_mcp_era era);

/*
 * What is done with a message that is not answered by the lists: answered here, by a backend, or refused.
 */
enum {
    SBX_MCP_ANSWERED = 1, /* *out has the members of the result; of a notification, nothing is done */
    SBX_MCP_FORWARD,      /* *ret says whom to ask */
    SBX_MCP_TOOL_ERROR,   /* *out has a whole tool result's members with isError: arguments that are none */
    SBX_MCP_REFUSED,      /* *err is the answer */
};

/* Who asks. */
struct sbx_mcp_caller {
    uint64_t tools;         /* those whose bits are not set are unknown */
    const char *state;      /* a requestState that was opened; NULL without */
    const char *cancel_key; /* of the call that notifications/cancelled names; NULL without */
};

/* What a backend is asked. */
struct sbx_mcp_call {
    const struct sbx_mcp_backend *backend;
    const struct sbx_mcp_tool *tool; /* NULL when it is no tool's */
    const char *location;            /* internal location of nginx that takes it */
    const char *method;              /* "POST" */
    const char *
        members; /* that the result has before the backend's, JSON without braces: ttlMs of resources/read; "" for none */
    struct sbx_buf path;            /* with query */
    struct sbx_buf body;            /* JSON; empty: none */
    struct sbx_buf idempotency_key; /* empty: none */
    bool stream;                    /* events are wanted even without a progress token */
};

void sbx_mcp_call_init(struct sbx_mcp_call *call);
void sbx_mcp_call_deinit(struct sbx_mcp_call *call);

/*
 * tools/call, prompts/get, resources/read, completion/complete, tasks and notifications/cancelled. One of the above or -ENOMEM; after
 * SBX_MCP_FORWARD the call's strings are its own, all else in it is the catalogue's.
 */
_must_check_ int sbx_mcp_catalogue_answer(const struct sbx_mcp_catalogue *catalogue,
                                          const struct sbx_mcp_message *message,
                                          const struct sbx_mcp_caller *caller, struct sbx_buf *out,
                                          struct sbx_mcp_call *ret, struct sbx_mcp_error *err);

#pragma GCC visibility pop
