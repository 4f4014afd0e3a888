/* The decoder of requests: which bytes are a message. */
#include "executor/launcher/wire_decode.h"
#include "t/unit/tap.h"

static union wire_request decoded;

static union wire_request
message(enum launch_type type, size_t size)
{
    union wire_request m;

    memset(&m, 0, sizeof(m));
    m.head = (struct launch_head){ .type = (uint16_t)type, .size = (uint16_t)size, .seq = 1 };
    if (type == LAUNCH_CREATE) {
        m.create.isolation = SBX_ISOLATION_PROCESS;
    }
    return m;
}

static const struct {
    enum launch_type type;
    size_t size;
} types[] = {
    { LAUNCH_HELLO, sizeof(struct launch_hello) },  { LAUNCH_CREATE, sizeof(struct launch_create) },
    { LAUNCH_ADOPT, sizeof(struct launch_adopt) },  { LAUNCH_STAT, sizeof(struct launch_head) },
    { LAUNCH_DESTROY, sizeof(struct launch_head) }, { LAUNCH_SETTLE, sizeof(struct launch_head) },
    { LAUNCH_WALLS, sizeof(struct launch_head) },   { LAUNCH_FREEZE, sizeof(struct launch_head) },
    { LAUNCH_THAW, sizeof(struct launch_head) },    { LAUNCH_HASTEN, sizeof(struct launch_head) },
};

static void
sizes(void)
{
    for (size_t i = 0; i < SBX_COUNT(types); i++) {
        unsigned n_taken = 0;
        union wire_request m = message(types[i].type, types[i].size);

        is_int(wire_decode(&decoded, &m, types[i].size), 0, "type %d at its size", types[i].type);
        for (size_t len = 0; len <= sizeof(m); len++) {
            n_taken += wire_decode(&decoded, &m, len) == 0;
        }
        is_uint(n_taken, 1, "type %d at no other length", types[i].type);
        n_taken = 0;
        for (unsigned size = 0; size <= 65535; size++) {
            m.head.size = (uint16_t)size;
            n_taken += wire_decode(&decoded, &m, types[i].size) == 0;
        }
        is_uint(n_taken, 1, "type %d with no other size in its head", types[i].type);
    }
}

static void
kinds(void)
{
    unsigned n_taken = 0;

    for (unsigned type = 0; type <= 65535; type++) {
        for (size_t len = 24; len <= sizeof(union wire_request); len++) {
            union wire_request m = message((enum launch_type)type, len);

            n_taken += wire_decode(&decoded, &m, len) == 0;
        }
    }
    is_uint(n_taken, SBX_COUNT(types), "these types and no other");
}

static void
contents(void)
{
    union wire_request m = message(LAUNCH_CREATE, sizeof(m.create));

    m.create.isolation = SBX_ISOLATION_NONE;
    is_int(wire_decode(&decoded, &m, sizeof(m.create)), WIRE_E_MALFORMED, "no tier");
    m.create.isolation = SBX_N_ISOLATIONS;
    is_int(wire_decode(&decoded, &m, sizeof(m.create)), WIRE_E_MALFORMED, "a tier there is not");
    m.create.isolation = SBX_ISOLATION_GVISOR;
    memset(m.create.template_name, 'x', sizeof(m.create.template_name));
    is_int(wire_decode(&decoded, &m, sizeof(m.create)), WIRE_E_MALFORMED, "a name without end");
    m.create.template_name[LAUNCH_TEMPLATE_LEN - 1] = '\0';
    is_int(wire_decode(&decoded, &m, sizeof(m.create)), 0, "a name of 31 letters");
    is_uint(strlen(decoded.create.template_name), LAUNCH_TEMPLATE_LEN - 1, "arrives whole");
    is_str(decoded.create.prepare, "", "without a language nothing is prepared");
    memset(m.create.prepare, 'x', sizeof(m.create.prepare));
    is_int(wire_decode(&decoded, &m, sizeof(m.create)), WIRE_E_MALFORMED, "a language without end");
    m.create.prepare[LAUNCH_PREPARE_LEN - 1] = '\0';
    is_int(wire_decode(&decoded, &m, sizeof(m.create)), 0, "a language of 31 letters");
    ok(decoded.create.is_spare == 0, "it is for somebody");
    m.create.is_spare = 1;
    is_int(wire_decode(&decoded, &m, sizeof(m.create)), 0, "one for nobody");
    m.create.is_spare = 2;
    is_int(wire_decode(&decoded, &m, sizeof(m.create)), WIRE_E_MALFORMED, "neither nor");
    m.create.is_spare = UINT32_MAX;
    is_int(wire_decode(&decoded, &m, sizeof(m.create)), WIRE_E_MALFORMED, "still less");
    m = message(LAUNCH_STAT, sizeof(m.head));
    m.head.seq = 0;
    is_int(wire_decode(&decoded, &m, sizeof(m.head)), WIRE_E_MALFORMED, "0 is no request's number");
    is_int(wire_decode(&decoded, NULL, 0), WIRE_E_MALFORMED, "no bytes at all");
}

int
main(void)
{
    sizes();
    kinds();
    contents();
    return done_testing();
}
