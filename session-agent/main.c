/*
 * session-agent: pid 1 of a sandbox (--inside), or a server of its own on
 * SESSION_AGENT_ADDR. It holds no secret and no authority; inside, it never sees
 * a byte of the payload's output.
 */
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/sbx_crypto.h"
#include "lib/sbx_json.h"
#include "lib/sbx_wall.h"
#include "session-agent/census.h"
#include "session-agent/face.h"
#include "session-agent/nested.h"
#include "session-agent/options.h"
#include "session-agent/slot.h"
#include "session-agent/zygote.h"

#define VERSION "0.1.0"

enum { FD_CONTROL = 3, FD_STDIN, FD_STDOUT, FD_STDERR, FD_FILTER, FD_TERMINALS, FD_SLOT };

#define MAX_FILTER 4096 /* BPF_MAXINSNS */
#define HEAP_AHEAD                                                                                           \
    (512 << 10) /* what a step takes, so that its start need not ask for more; not touched before */

struct agent {
    struct options options;
    uv_loop_t loop;
    struct init init;
    struct slot *slot;
    int forked; /* socket of a slot that was forked outside; -1: none */
    struct runtimes *runtimes;
    struct sock_fprog filter;
    struct face *face;
    uv_signal_t signals[2];
    unsigned n_signals;
};

/* Standard error is /dev/null inside; nothing a caller sent is ever in these. */
static int
fail(const char *what, const char *why)
{
    (void)fprintf(stderr, "session-agent: %s: %s\n", what, why); /* nowhere else to say it */
    return EXIT_FAILURE;
}

/*
 * In place of libcrypto's own, which asks the processor what it is before main does, at microseconds a question where the
 * kernel is a guest. All that is used of the library here is base64 and a comparison.
 */
void OPENSSL_cpuid_setup(void);
void
OPENSSL_cpuid_setup(void)
{
}

/* Numbers 0-2 must not be given to anything else. */
static bool
stdio_open(void)
{
    for (int fd = 0; fd <= 2; fd++) {
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd) {
            return false;
        }
    }
    return true;
}

/*
 * runsc hands over three descriptors: they move to where --inside has them, the program comes from a file. A step's
 * input, whose place stays empty, is a pipe of its own.
 */
static bool
nested_arrange(void)
{
    static const int places[] = { FD_CONTROL, FD_STDOUT, FD_STDERR };
    int fd;

    for (fd = 0; fd < 3; fd++) {
        if (fcntl(fd, F_GETFD) < 0 || dup3(fd, places[fd], O_CLOEXEC) < 0) {
            return false;
        }
        (void)close(fd); /* lives on in its place */
    }
    if (!stdio_open() || dup3(0, FD_STDIN, O_CLOEXEC) < 0) {
        return false;
    }
    fd = open(OPTIONS_NESTED_FILTER, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    return fd == FD_FILTER;
}

/* The launcher waits for this byte: everything before it, runsc's own start included, went well. */
static bool
nested_tell_ready(void)
{
    return write(FD_CONTROL, "\n", 1) == 1;
}

/* What was checked is what will be loaded: the program is sealed, or (nested) of a file system nobody inside can
 * write. */
static bool
filter_read(struct sock_fprog *ret, bool is_nested)
{
    int seals = is_nested ? 0 : fcntl(FD_FILTER, F_GET_SEALS);
    int want = is_nested ? 0 : F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW;
    struct stat st;
    size_t size;

    if (seals < 0 || (seals & want) != want || fstat(FD_FILTER, &st) < 0 || st.st_size <= 0 ||
        (uint64_t)st.st_size > MAX_FILTER * sizeof(*ret->filter) ||
        (size_t)st.st_size % sizeof(*ret->filter) != 0) {
        return false;
    }
    size = (size_t)st.st_size;
    ret->filter = malloc(size);
    if (ret->filter == NULL || pread(FD_FILTER, ret->filter, size, 0) != (ssize_t)size) {
        return false;
    }
    ret->len = (unsigned short)(size / sizeof(*ret->filter));
    (void)close(FD_FILTER); /* only read */
    return true;
}

static bool
fds_cloexec(void)
{
    int fd;

    for (fd = FD_CONTROL; fd <= FD_TERMINALS; fd++) {
        if (fd != FD_FILTER && fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
            return false;
        }
    }
    return true;
}

/* There only when a zygote was asked for one; whatever else has the number is not for us. */
static bool
forked_take(struct agent *agent)
{
    int type = 0;
    socklen_t len = sizeof(type);

    agent->forked = -1;
    if (!agent->options.inside || agent->options.nested || fcntl(FD_SLOT, F_GETFD) < 0) {
        return true;
    }
    if (getsockopt(FD_SLOT, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || type != SOCK_SEQPACKET) {
        return close(FD_SLOT) == 0;
    }
    agent->forked = FD_SLOT;
    return fcntl(FD_SLOT, F_SETFD, FD_CLOEXEC) == 0;
}

static int
agent_make_slot(struct agent *agent)
{
    const struct slot_spec spec = {
        .loop = &agent->loop,
        .init = &agent->init,
        .identity = agent->options.identity,
        .filter = agent->options.inside ? &agent->filter : NULL,
        .opt_dir = agent->options.opt_dir,
        .cwd = agent->options.inside ? "/workspace" : "/",
        .stdio = { FD_STDIN, FD_STDOUT, FD_STDERR },
        .is_piped = { !agent->options.inside || agent->options.nested, !agent->options.inside,
                      !agent->options.inside },
        .forked = agent->forked,
    };
    int r = slot_new(&agent->slot, &spec);

    return r < 0 ? fail("slot", strerror(-r)) : 0;
}

static int
agent_load_runtimes(struct agent *agent)
{
    struct sbx_field_error err;
    char path[512];
    int r;

    if (snprintf(path, sizeof(path), "%s/runtimes.json", agent->options.opt_dir) >= (int)sizeof(path)) {
        return fail("--opt-dir", "too long");
    }
    r = runtimes_load(&agent->runtimes, path, &err);
    if (r == RUNTIMES_E_INVALID) {
        (void)fprintf(stderr, "session-agent: %s: %s %s\n", path, err.field, err.message); /* nowhere else */
        return EXIT_FAILURE;
    }
    return r < 0 ? fail(path, strerror(-r)) : 0;
}

static int
agent_make_face(struct agent *agent)
{
    const struct options *options = &agent->options;
    const struct face_spec spec = {
        .loop = &agent->loop,
        .host =
            {
                .loop = &agent->loop,
                .init = &agent->init,
                .identity = options->identity,
                .filter = options->inside ? &agent->filter : NULL,
                .slot = agent->slot,
                .opt_dir = options->opt_dir,
                .captures = !options->inside,
                .feeds_stdin = !options->inside || options->nested,
                .takes_census = options->nested,
                .takes_word = options->inside && !options->nested,
                .terminals = options->inside ? FD_TERMINALS : -1,
                .stdio = {FD_STDIN, FD_STDOUT, FD_STDERR},
            },
        .runtimes = agent->runtimes,
        .workspace_root = options->inside ? NULL : options->workspace_root,
        .auth_bypass = options->auth_bypass,
        .max_sessions = options->inside ? 1 : 64,
        .max_connections = options->inside ? 1 : 64,
        .idle_timeout_ms = options->inside ? 0 : 60000,
    };
    int r = face_new(&agent->face, &spec);

    return r < 0 ? fail("server", strerror(-r)) : 0;
}

static void
agent_on_signal(uv_signal_t *handle, int number)
{
    struct agent *agent = handle->data;
    unsigned i;

    (void)number; /* all of them end us */
    for (i = 0; i < agent->n_signals; i++) {
        uv_close((uv_handle_t *)&agent->signals[i], NULL);
    }
    agent->n_signals = 0;
    face_close(agent->face);
    agent->face = NULL;
}

static int
agent_listen(struct agent *agent)
{
    static const int numbers[] = { SIGTERM, SIGINT };
    unsigned port = 0, i;
    struct stat st;
    int r;

    if (stat(agent->options.workspace_root, &st) < 0 || !S_ISDIR(st.st_mode)) {
        return fail("WORKSPACE_ROOT", "is not a directory");
    }
    r = sbx_http_server_listen_tcp(face_server(agent->face), agent->options.address, &port);
    if (r < 0) {
        return fail("SESSION_AGENT_ADDR", strerror(-r));
    }
    for (i = 0; i < SBX_COUNT(numbers); i++) {
        r = uv_signal_init(&agent->loop, &agent->signals[i]);
        if (r < 0) {
            return fail("signal", strerror(-r));
        }
        agent->n_signals++;
        agent->signals[i].data = agent;
        r = uv_signal_start(&agent->signals[i], agent_on_signal, numbers[i]);
        if (r < 0) {
            return fail("signal", strerror(-r));
        }
    }
    if (agent->options.auth_bypass) {
        (void)fprintf(stderr,
                      "session-agent: SESSION_AGENT_AUTH_BYPASS: every caller is let in\n"); /* a notice */
    }
    (void)fprintf(stderr, "session-agent: listening on port %u\n", port); /* a notice */
    return 0;
}

static int
nested_start(void)
{
    int r;

    if (!nested_arrange()) {
        return fail("descriptors 0 to 2", "are not what a launcher passes");
    }
    r = nested_terminals_keep(FD_TERMINALS); /* the first after the filter's, and no other's yet */
    r = r < 0 ? r : census_open();
    r = r < 0 ? r : nested_root_strip();
    r = r < 0 ? r : nested_rights_drop();
    return r < 0 ? fail("root", strerror(-r)) : 0;
}

/* By which calls it is taken is learnt while nobody waits: each costs tens of microseconds in gVisor. */
static int
identity_learn(const struct identity *identity)
{
    int r = identity_enter(identity);

    if (r == 0) {
        identity_leave(identity);
    }
    return r;
}

/* Without one jansson opens /dev/urandom for it. */
static void
tables_seed(void)
{
    size_t seed;

    if (sbx_random(&seed, sizeof(seed)) == 0) {
        json_object_seed(seed);
    }
}

static int
agent_start(struct agent *agent)
{
    int r;

    /* The payload may share our user: nobody attaches to us or reads our memory. */
    if (!sbx_wall_is_off(SBX_WALL_NOT_DUMPABLE) && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0) {
        return fail("dumpable", strerror(errno));
    }
    r = agent->options.nested ? nested_start() : 0;
    if (r != 0) {
        return r;
    }
    if (agent->options.inside && (!filter_read(&agent->filter, agent->options.nested) || !fds_cloexec())) {
        return fail("descriptors 3 to 8", "are not what a launcher passes");
    }
    if (!forked_take(agent)) {
        return fail("descriptor 9", strerror(errno));
    }
    tables_seed();
    r = uv_loop_init(&agent->loop);
    if (r == 0) {
        r = init_start(&agent->init, &agent->loop);
    }
    if (r < 0) {
        return fail("loop", strerror(-r));
    }
    r = agent_load_runtimes(agent);
    if (r == 0) {
        r = agent_make_slot(agent);
    }
    if (r == 0) {
        r = agent_make_face(agent);
    }
    if (r != 0) {
        return r;
    }
    if (!agent->options.inside) {
        return agent_listen(agent);
    }
    r = sbx_http_server_adopt(face_server(agent->face), FD_CONTROL);
    if (r < 0) {
        return fail("descriptor 3", strerror(-r));
    }
    if (agent->options.nested) {
        r = identity_learn(&agent->options.identity);
    }
    if (r < 0) {
        return fail("identity", strerror(-r));
    }
    return agent->options.nested && !nested_tell_ready() ? fail("descriptor 3", strerror(errno)) : 0;
}

int
main(int argc, char **argv)
{
    static struct agent agent;
    char why[256];
    int r;

    if (!options_parse(&agent.options, argc, argv, why, sizeof(why))) {
        return fail("options", why);
    }
    if (agent.options.help || agent.options.version) {
        return fputs(agent.options.help ? options_help : "session-agent " VERSION "\n", stdout) < 0;
    }

    if (agent.options.zygote != NULL) {
        const char *what;

        r = zygote_exec(&agent.options, &what);
        return fail(what, strerror(-r));
    }
    (void)mallopt(M_TOP_PAD, HEAP_AHEAD); /* only time is lost */
    (void)signal(SIGPIPE, SIG_IGN);       /* cannot fail */
    (void)umask(022);                     /* cannot fail */
    if (!agent.options.nested && !stdio_open()) {
        return EXIT_FAILURE;
    }
    r = agent_start(&agent);
    if (r == 0) {
        /* Ends by a signal; inside, when the control connection has ended and nothing is left to do. */
        uv_run(&agent.loop, UV_RUN_DEFAULT);
        agent.slot = slot_free(agent.slot);
    }
    return r;
}
