#include "executor/runtime/agent_client.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "executor/runtime/agent_reply.h"
#include "lib/sbx_crypto.h"
#include "lib/sbx_http_client.h"

enum {
    MAX_REQUEST = 128 * 1024 * 1024, /* what an agent takes of a session with its step */
    MAX_SMALL_REPLY = 64 * 1024,     /* of anything but a step and a file */
    MAX_ID = 64,
    /* A step's reply may be this late; the launcher's verdict on the wall limit comes long before. */
    STEP_GRACE_MS = 10000,
    FETCH_BYTES_PER_MS = 4096, /* a file may take its time by its size, at a rate any agent keeps */
};

struct agent_client {
    struct agent_client_spec spec;
    struct sbx_http_client *http;
    char token[AGENT_TOKEN_LEN + 1];
    char id[MAX_ID + 1];
    agent_done_fn done;
    void *arg;

    const struct runtime_run *run; /* borrowed until done */
    struct runtime_outcome *outcome;
    struct sbx_buf document;

    struct agent_fetch fetch;
    uint64_t fetched;
};

int
agent_client_new(struct agent_client **ret, const struct agent_client_spec *spec)
{
    struct agent_client *client;
    int r;

    client = calloc(1, sizeof(*client));
    if (client == NULL) {
        close(spec->fd);
        return -ENOMEM;
    }
    client->spec = *spec;
    client->document.max = MAX_REQUEST;
    r = sbx_http_client_new(&client->http, spec->loop, spec->fd);
    if (r) {
        free(client);
        return r < 0 ? r : -EINVAL;
    }
    *ret = client;
    return 0;
}

/* It holds the tenant's code, environment and token. */
static void
client_forget(struct agent_client *client)
{
    if (client->document.data != NULL) {
        explicit_bzero(client->document.data, client->document.len);
    }
    sbx_buf_deinit(&client->document);
}

struct agent_client *
agent_client_close(struct agent_client *client)
{
    if (client == NULL) {
        return NULL;
    }
    /* Once its handle is closing libuv no longer reads the document it was writing. */
    client->http = sbx_http_client_close(client->http);
    client_forget(client);
    explicit_bzero(client->token, sizeof(client->token));
    free(client);
    return NULL;
}

/* The last thing a callback does: done may close the client. */
static void
client_finish(struct agent_client *client, int rc)
{
    agent_done_fn done = client->done;

    client->done = NULL;
    client_forget(client);
    client->run = NULL;
    done(client->arg, rc);
}

static void
client_finish_nonsense(struct agent_client *client, const char *what)
{
    if (client->spec.on_nonsense != NULL) {
        client->spec.on_nonsense(client->spec.arg, what);
    }
    client_finish(client, AGENT_CLIENT_E_NONSENSE);
}

static int
client_send(struct agent_client *client, struct sbx_http_exchange *exchange)
{
    const struct sbx_http_header headers[] = {
        { "Content-Type", "application/json" },
        { "X-Session-Token", client->token },
    };
    int r;

    exchange->headers = headers;
    exchange->n_headers = client->token[0] == '\0' ? 1 : 2;
    exchange->arg = client;
    r = sbx_http_client_send(client->http, exchange);
    return r > 0 ? AGENT_CLIENT_E_LOST : r;
}

/* For the first exchange of a call: when it cannot even start there is nobody to tell. */
static int
client_start(struct agent_client *client, struct sbx_http_exchange *exchange)
{
    int r = client_send(client, exchange);

    if (r) {
        client->done = NULL;
        client_forget(client);
    }
    return r;
}

static void
client_on_health(void *arg, int rc, int status, const char *body, size_t len)
{
    struct agent_client *client = arg;

    if (rc != 0) {
        client_finish(client, AGENT_CLIENT_E_LOST);
    } else if (status != 200 || !agent_reply_health(body, len)) {
        client_finish_nonsense(client, "not the health of an agent");
    } else {
        client_finish(client, 0);
    }
}

int
agent_client_health(struct agent_client *client, uint64_t deadline_ms, agent_done_fn done, void *arg)
{
    struct sbx_http_exchange exchange = {
        .method = "GET",
        .path = "/v1/health",
        .max_reply = MAX_SMALL_REPLY,
        .deadline_ms = deadline_ms,
        .on_done = client_on_health,
    };

    assert(client->done == NULL);
    client->done = done;
    client->arg = arg;
    return client_start(client, &exchange);
}

static void
client_on_prepared(void *arg, int rc, int status, const char *body, size_t len)
{
    struct agent_client *client = arg;

    if (rc != 0) {
        client_finish(client, AGENT_CLIENT_E_LOST);
    } else if (status >= 400 && status <= 599) {
        client_finish(client, AGENT_CLIENT_E_REFUSED);
    } else if (status != 200 || !agent_reply_health(body, len)) {
        client_finish_nonsense(client, "no answer to what was to be prepared");
    } else {
        client_finish(client, 0);
    }
}

int
agent_client_prepare(struct agent_client *client, const struct agent_prepare *prepare, uint64_t deadline_ms,
                     agent_done_fn done, void *arg)
{
    struct sbx_http_exchange exchange = {
        .method = "POST",
        .path = "/v1/prepare",
        .max_reply = MAX_SMALL_REPLY,
        .deadline_ms = deadline_ms,
        .on_done = client_on_prepared,
    };

    assert(client->done == NULL);
    agent_request_prepare(&client->document, prepare);
    if (client->document.failed) {
        client_forget(client);
        return -ENOMEM;
    }
    exchange.body = client->document.data;
    exchange.len = client->document.len;
    client->done = done;
    client->arg = arg;
    return client_start(client, &exchange);
}

static void
client_refused(struct agent_client *client, int status, const char *body, size_t len)
{
    if (status < 400 || status > 499) {
        client_finish_nonsense(client, "a status that is no answer to this");
        return;
    }
    agent_reply_refusal(client->outcome->message, sizeof(client->outcome->message), body, len);
    client_finish(client, AGENT_CLIENT_E_REFUSED);
}

static void
client_on_step(void *arg, int rc, int status, const char *body, size_t len)
{
    struct agent_client *client = arg;
    const struct agent_reply_rules rules = {
        .step_id = client->id,
        .max_artifacts = client->run->max_artifacts,
        .max_artifact_bytes = client->run->max_artifact_bytes,
    };
    struct sbx_field_error err;
    int r;

    if (rc != 0) {
        client_finish(client, AGENT_CLIENT_E_LOST);
        return;
    }
    if (status != 200) {
        client_refused(client, status, body, len);
        return;
    }
    if (client->spec.on_step_reply != NULL) {
        client->spec.on_step_reply(client->spec.arg);
    }
    r = agent_reply_step(client->outcome, body, len, &rules, &err);
    if (r) {
        runtime_outcome_deinit(client->outcome);
        client_finish_nonsense(client, r < 0 ? "out of memory" : err.message);
        return;
    }
    client_finish(client, 0);
}

static int
client_prepare(struct agent_client *client, const struct runtime_run *run)
{
    uint8_t random[AGENT_TOKEN_LEN / 2];
    int r;

    if (strlen(run->id) > MAX_ID) {
        return -EINVAL;
    }
    memcpy(client->id, run->id, strlen(run->id) + 1);
    r = sbx_random(random, sizeof(random));
    if (r) {
        return r < 0 ? r : -EIO;
    }
    sbx_hex(client->token, random, sizeof(random));
    explicit_bzero(random, sizeof(random));
    agent_request_run(&client->document, run, client->token, client->spec.input);
    if (client->document.failed) {
        client_forget(client);
        return -ENOMEM;
    }
    return 0;
}

int
agent_client_run(struct agent_client *client, const struct runtime_run *run, struct runtime_outcome *outcome,
                 agent_done_fn done, void *arg)
{
    struct sbx_http_exchange exchange = {
        .method = "POST",
        .path = "/v1/steps",
        .max_reply = AGENT_REPLY_MAX_BODY,
        .deadline_ms = run->limits.value[SBX_LIMIT_TIME] + STEP_GRACE_MS,
        .on_done = client_on_step,
    };
    int r;

    assert(client->done == NULL);
    r = client_prepare(client, run);
    if (r) {
        return r;
    }
    client->run = run;
    client->outcome = outcome;
    client->done = done;
    client->arg = arg;
    exchange.body = client->document.data;
    exchange.len = client->document.len;
    return client_start(client, &exchange);
}

static void
client_on_attach(void *arg, int rc, int status, const char *body _unused_, size_t len)
{
    struct agent_client *client = arg;

    if (rc != 0) {
        client_finish(client, AGENT_CLIENT_E_LOST);
    } else if (status != 200 || len != 0) {
        client_finish_nonsense(client, "no consent to a session");
    } else {
        client_finish(client, 0);
    }
}

int
agent_client_attach(struct agent_client *client, unsigned processes, agent_done_fn done, void *arg)
{
    struct sbx_http_exchange exchange = {
        .method = "POST",
        .path = "/v1/attach",
        .max_reply = MAX_SMALL_REPLY,
        .deadline_ms = client->spec.timeout_ms,
        .on_done = client_on_attach,
    };

    assert(client->done == NULL);
    sbx_buf_printf(&client->document, "{\"limits\":{\"processes\":%u}}", processes);
    if (client->document.failed) {
        return -ENOMEM;
    }
    exchange.body = client->document.data;
    exchange.len = client->document.len;
    client->done = done;
    client->arg = arg;
    return client_start(client, &exchange);
}

int
agent_client_detach(struct agent_client *client)
{
    int fd = sbx_http_client_detach(client->http);

    client->http = NULL;
    agent_client_close(client);
    return fd;
}

static void
client_on_file_data(void *arg, int status, const char *data, size_t len)
{
    struct agent_client *client = arg;

    if (status != 200) {
        return;
    }
    client->fetched += len;
    if (client->fetched <= client->fetch.max_bytes) {
        client->fetch.on_data(client->arg, data, len);
    }
}

static void
client_on_file(void *arg, int rc, int status, const char *body _unused_, size_t len _unused_)
{
    struct agent_client *client = arg;

    if (rc != 0) {
        client_finish(client, AGENT_CLIENT_E_LOST);
    } else if (status == 200 && client->fetched > client->fetch.max_bytes) {
        client_finish_nonsense(client, "a file larger than allowed");
    } else if (status == 200) {
        client_finish(client, 0);
    } else if (status >= 400 && status <= 499) {
        client_finish(client, AGENT_CLIENT_E_REFUSED);
    } else {
        client_finish_nonsense(client, "a status that is no answer to this");
    }
}

int
agent_client_fetch(struct agent_client *client, const struct agent_fetch *fetch, agent_done_fn done,
                   void *arg)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf path = SBX_BUF_INIT(4ul * AGENT_REPLY_MAX_PATH);
    struct sbx_http_exchange exchange = {
        .method = "GET",
        .max_reply = fetch->max_bytes < MAX_SMALL_REPLY ? MAX_SMALL_REPLY : fetch->max_bytes,
        .deadline_ms = client->spec.timeout_ms + fetch->max_bytes / FETCH_BYTES_PER_MS,
        .on_data = client_on_file_data,
        .on_done = client_on_file,
    };

    assert(client->done == NULL);
    agent_request_file_path(&path, client->id, fetch->path);
    if (path.failed) {
        return -EINVAL;
    }
    exchange.path = path.data;
    client->fetch = *fetch;
    client->fetched = 0;
    client->done = done;
    client->arg = arg;
    return client_start(client, &exchange);
}
