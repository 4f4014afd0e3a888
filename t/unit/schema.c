/* Schemas: what is compiled and what is refused, which values fit, and what is said of those that do not. */
#include "lib/sbx_schema.h"

#include "t/unit/tap.h"

static json_t *
parse(const char *text)
{
    struct sbx_field_error err;
    json_t *json = NULL;

    if (sbx_json_parse(&json, text, strlen(text), &err) != 0) {
        BAIL_OUT("cannot parse %s: %s", text, err.message);
    }
    return json;
}

static struct sbx_schema *
compile(const char *text)
{
    struct sbx_field_error err;
    struct sbx_schema *schema = NULL;
    json_t *json = parse(text);

    if (sbx_schema_compile(&schema, json, &err) != 0) {
        BAIL_OUT("cannot compile %s: %s %s", text, err.field, err.message);
    }
    json_decref(json);
    return schema;
}

static void
test_compile_refused(void)
{
    static const struct {
        const char *schema, *field, *message;
    } bad[] = {
        { "1", "", "must be a schema: an object, true or false" },
        { "[]", "", "must be a schema: an object, true or false" },
        { "null", "", "must be a schema: an object, true or false" },
        { "{\"types\":\"string\"}", "/types", "is not a keyword that is held here" },
        { "{\"contains\":{}}", "/contains", "is not a keyword that is held here" },
        { "{\"unevaluatedProperties\":false}", "/unevaluatedProperties",
          "is not a keyword that is held here" },
        { "{\"unevaluatedItems\":false}", "/unevaluatedItems", "is not a keyword that is held here" },
        { "{\"dependentSchemas\":{}}", "/dependentSchemas", "is not a keyword that is held here" },
        { "{\"$dynamicRef\":\"#a\"}", "/$dynamicRef", "is not a keyword that is held here" },
        { "{\"$recursiveRef\":\"#\"}", "/$recursiveRef", "is not a keyword that is held here" },
        { "{\"x\":1}", "/x", "is not a keyword that is held here" },
        { "{\"properties\":{\"a\":{\"b\":1}}}", "/properties/a/b", "is not a keyword that is held here" },
        { "{\"type\":\"text\"}", "/type", NULL },
        { "{\"type\":[]}", "/type", NULL },
        { "{\"type\":[\"string\",\"string\"]}", "/type", NULL },
        { "{\"type\":[1]}", "/type", NULL },
        { "{\"type\":1}", "/type", NULL },
        { "{\"type\":null}", "/type", NULL },
        { "{\"enum\":[]}", "/enum", "must be an array of values" },
        { "{\"enum\":{}}", "/enum", "must be an array of values" },
        { "{\"required\":\"a\"}", "/required", NULL },
        { "{\"required\":[1]}", "/required", NULL },
        { "{\"required\":[\"a\",\"a\"]}", "/required", "must not name a member twice" },
        { "{\"properties\":[]}", "/properties", NULL },
        { "{\"properties\":{\"a\":1}}", "/properties/a", "must be a schema: an object, true or false" },
        { "{\"properties\":{\"a/~\":1}}", "/properties/a~1~0", "must be a schema: an object, true or false" },
        { "{\"additionalProperties\":1}", "/additionalProperties", NULL },
        { "{\"propertyNames\":\"a\"}", "/propertyNames", NULL },
        { "{\"patternProperties\":{\"(\":{}}}", "/patternProperties/(", NULL },
        { "{\"dependentRequired\":[]}", "/dependentRequired", NULL },
        { "{\"dependentRequired\":{\"a\":\"b\"}}", "/dependentRequired/a", NULL },
        { "{\"items\":[{}]}", "/items", "must be a schema: an object, true or false" },
        { "{\"prefixItems\":{}}", "/prefixItems", NULL },
        { "{\"prefixItems\":[]}", "/prefixItems", NULL },
        { "{\"prefixItems\":[1]}", "/prefixItems/0", NULL },
        { "{\"minItems\":-1}", "/minItems", "must be an integer from 0" },
        { "{\"minItems\":1.5}", "/minItems", "must be an integer from 0" },
        { "{\"maxLength\":\"1\"}", "/maxLength", "must be an integer from 0" },
        { "{\"maxLength\":1e300}", "/maxLength", "must be an integer from 0" },
        { "{\"uniqueItems\":1}", "/uniqueItems", "must be true or false" },
        { "{\"minimum\":\"1\"}", "/minimum", "must be a number" },
        { "{\"multipleOf\":0}", "/multipleOf", "must be greater than 0" },
        { "{\"multipleOf\":-0.5}", "/multipleOf", "must be greater than 0" },
        { "{\"allOf\":[]}", "/allOf", NULL },
        { "{\"anyOf\":{}}", "/anyOf", NULL },
        { "{\"oneOf\":[{},1]}", "/oneOf/1", NULL },
        { "{\"not\":[]}", "/not", NULL },
        { "{\"if\":1}", "/if", NULL },
        { "{\"$schema\":\"http://json-schema.org/draft-07/schema#\"}", "/$schema", NULL },
        { "{\"$schema\":1}", "/$schema", NULL },
        { "{\"$id\":1}", "/$id", NULL },
        { "{\"properties\":{\"a\":{\"$id\":\"b\"}}}", "/properties/a/$id", "is taken at the top only" },
        { "{\"$defs\":[]}", "/$defs", NULL },
        { "{\"$defs\":{\"a\":1}}", "/$defs/a", NULL },
        { "{\"$anchor\":1}", "/$anchor", NULL },
        { "{\"$anchor\":\"a\",\"not\":{\"$anchor\":\"a\"}}", "", "two subschemas have the same $anchor" },
        { "{\"$ref\":1}", "/$ref", NULL },
        { "{\"$ref\":\"https://example.com/a\"}", "",
          "$ref \"https://example.com/a\" leads out of the document: nothing is fetched" },
        { "{\"$ref\":\"other.json\"}", "",
          "$ref \"other.json\" leads out of the document: nothing is fetched" },
        { "{\"$ref\":\"file:///etc/passwd\"}", "", NULL },
        { "{\"$ref\":\"\"}", "", NULL },
        { "{\"$ref\":\"#/$defs/a\"}", "", "$ref \"#/$defs/a\" leads to no schema of the document" },
        { "{\"$ref\":\"#a\"}", "", "$ref \"#a\" leads to no schema of the document" },
        { "{\"$ref\":\"#/type\",\"type\":\"object\"}", "", NULL },
        { "{\"$ref\":\"#/$defs\",\"$defs\":{\"a\":{}}}", "", NULL },
        { "{\"$ref\":\"#/enum/0\",\"enum\":[{}]}", "", NULL },
        { "{\"$ref\":\"#/$defs/a~\",\"$defs\":{\"a~\":{}}}", "", NULL },
        { "{\"$ref\":\"#/$defs/a~2\",\"$defs\":{\"a~2\":{}}}", "", NULL },
        { "{\"$ref\":\"#/%24defs/a\",\"$defs\":{\"a\":{}}}", "", NULL },
        { "{\"allOf\":[{\"$ref\":\"#/allOf/-1\"}]}", "", NULL },
        { "{\"allOf\":[{\"$ref\":\"#/allOf/1\"}]}", "", NULL },
        { "{\"$ref\":\"#\"}", "", "references and combinations lead back to themselves, or go too deep" },
        { "{\"allOf\":[{\"$ref\":\"#\"}]}", "", NULL },
        { "{\"not\":{\"$ref\":\"#\"}}", "", NULL },
        { "{\"if\":{\"$ref\":\"#\"}}", "", NULL },
        { "{\"then\":{\"$ref\":\"#\"}}", "", NULL },
        { "{\"$ref\":\"#/$defs/a\",\"$defs\":{\"a\":{\"anyOf\":[true,{\"$ref\":\"#/$defs/"
          "b\"}]},\"b\":{\"oneOf\":[{\"$ref\":\"#/$defs/a\"}]}}}",
          "", NULL },
        { "{\"$defs\":{\"a\":{\"$ref\":\"#/$defs/a\"}}}", "", NULL },
        { "{\"pattern\":1}", "/pattern", "must be a string" },
        { "{\"pattern\":\"(?=a)\"}", "/pattern",
          "the pattern looks around or names a group, which is not taken here" },
    };
    struct sbx_field_error err;
    struct sbx_schema *schema = NULL;
    json_t *json;
    size_t i;

    for (i = 0; i < SBX_COUNT(bad); i++) {
        json = parse(bad[i].schema);
        is_int(sbx_schema_compile(&schema, json, &err), SBX_SCHEMA_E_FORM, "refused: %s", bad[i].schema);
        ok(schema == NULL, "and nothing returned");
        is_str(err.field, bad[i].field, "at %s", bad[i].field);
        if (bad[i].message != NULL) {
            is_str(err.message, bad[i].message, "%s", err.message);
        } else {
            ok(err.message[0] != '\0', "%s", err.message);
        }
        json_decref(json);
    }
}

static void
test_compile_bounds(void)
{
    static char text[65536];
    struct sbx_buf buf = SBX_BUF_OVER(text);
    struct sbx_field_error err;
    struct sbx_schema *schema = NULL;
    json_t *json, *inner;
    int i;

    sbx_buf_puts(&buf, "{\"anyOf\":[true");
    for (i = 0; i < SBX_SCHEMA_NODES; i++) {
        sbx_buf_puts(&buf, ",true");
    }
    sbx_buf_puts(&buf, "]}");
    json = parse(text);
    is_int(sbx_schema_compile(&schema, json, &err), SBX_SCHEMA_E_FORM, "too many alternatives");
    json_decref(json);

    sbx_buf_reset(&buf);
    sbx_buf_puts(&buf, "{\"properties\":{\"x\":true");
    for (i = 0; i < SBX_SCHEMA_NODES - 3; i++) {
        sbx_buf_printf(&buf, ",\"p%d\":true", i);
    }
    sbx_buf_puts(&buf, "},\"items\":true}");
    json = parse(text);
    is_int(sbx_schema_compile(&schema, json, &err), 0, "as many subschemas as there may be");
    schema = sbx_schema_free(schema);
    (void)json_object_set_new(json, "not", json_false());
    is_int(sbx_schema_compile(&schema, json, &err), SBX_SCHEMA_E_FORM, "one more");
    json_decref(json);

    json = json_object();
    for (i = 0; i < 100; i++) {
        inner = json_object();
        (void)json_object_set_new(inner, "items", json);
        json = inner;
    }
    is_int(sbx_schema_compile(&schema, json, &err), SBX_SCHEMA_E_FORM, "too deep: %s", err.message);
    json_decref(json);
    ok(sbx_schema_free(NULL) == NULL, "nothing to free");
}

static void
test_fits(void)
{
    static const struct {
        const char *schema, *value;
        bool fits;
    } table[] = {
        { "true", "1", true },
        { "{}", "null", true },
        { "false", "1", false },
        { "{\"type\":\"integer\"}", "1.0", true },
        { "{\"type\":\"integer\"}", "1.5", false },
        { "{\"type\":\"integer\"}", "1e300", true },
        { "{\"type\":\"number\"}", "1", true },
        { "{\"type\":\"boolean\"}", "0", false },
        { "{\"type\":\"boolean\"}", "\"true\"", false },
        { "{\"type\":\"null\"}", "false", false },
        { "{\"type\":[\"null\",\"object\"]}", "{}", true },
        { "{\"type\":[\"null\",\"object\"]}", "[]", false },
        { "{\"enum\":[1,\"a\",null,{\"a\":[1]}]}", "1.0", true },
        { "{\"enum\":[1,\"a\",null,{\"a\":[1]}]}", "{\"a\":[1.0]}", true },
        { "{\"enum\":[1,\"a\",null,{\"a\":[1]}]}", "{\"a\":[1,1]}", false },
        { "{\"enum\":[1,\"a\",null,{\"a\":[1]}]}", "{\"a\":[1],\"b\":1}", false },
        { "{\"enum\":[1]}", "true", false },
        { "{\"enum\":[0]}", "false", false },
        { "{\"const\":null}", "null", true },
        { "{\"const\":null}", "0", false },
        { "{\"const\":9007199254740993}", "9007199254740992", false },
        { "{\"const\":9007199254740993}", "9007199254740992.0", false },
        { "{\"const\":9223372036854775807}", "9223372036854775808.0", false },
        { "{\"minimum\":9223372036854775807}", "9223372036854775808.0", true },
        { "{\"maximum\":9223372036854775807}", "9223372036854775808.0", false },
        { "{\"minimum\":-1.5}", "-1", true },
        { "{\"minimum\":-1.5}", "-2", false },
        { "{\"minimum\":0}", "\"x\"", true },
        { "{\"exclusiveMinimum\":1}", "1.0", false },
        { "{\"exclusiveMinimum\":1}", "1.1", true },
        { "{\"exclusiveMaximum\":1}", "1", false },
        { "{\"exclusiveMaximum\":1}", "0.9", true },
        { "{\"multipleOf\":3}", "9", true },
        { "{\"multipleOf\":3}", "10", false },
        { "{\"multipleOf\":3}", "-9.0", true },
        { "{\"multipleOf\":0.5}", "1.5", true },
        { "{\"multipleOf\":0.5}", "1.6", false },
        { "{\"multipleOf\":1e-300}", "1e300", false },
        { "{\"minLength\":2}", "\"\\u00e4\"", false },
        { "{\"maxLength\":2}", "\"\\u00e4\\ud83d\\ude00\"", true },
        { "{\"maxLength\":2}", "\"abc\"", false },
        { "{\"maxLength\":2.0}", "\"ab\"", true },
        { "{\"maxLength\":2}", "[1,2,3]", true },
        { "{\"pattern\":\"^[a-z]+$\"}", "\"abc\"", true },
        { "{\"pattern\":\"^[a-z]+$\"}", "\"ab1\"", false },
        { "{\"pattern\":\"b\"}", "\"abc\"", true },
        { "{\"pattern\":\"^[a-z]+$\"}", "1", true },
        { "{\"minItems\":1}", "[]", false },
        { "{\"maxItems\":1}", "[1,2]", false },
        { "{\"maxItems\":1}", "{\"a\":1,\"b\":2}", true },
        { "{\"uniqueItems\":true}", "[1,1.0]", false },
        { "{\"uniqueItems\":true}", "[1,true,\"1\",[1],{\"a\":1}]", true },
        { "{\"uniqueItems\":true}", "[{\"a\":1,\"b\":2},{\"b\":2,\"a\":1}]", false },
        { "{\"uniqueItems\":false}", "[1,1]", true },
        { "{\"items\":{\"type\":\"string\"}}", "[\"a\",1]", false },
        { "{\"items\":false}", "[]", true },
        { "{\"items\":false}", "[1]", false },
        { "{\"prefixItems\":[{\"type\":\"string\"}],\"items\":{\"type\":\"null\"}}", "[\"a\",null]", true },
        { "{\"prefixItems\":[{\"type\":\"string\"}],\"items\":{\"type\":\"null\"}}", "[\"a\",\"b\"]", false },
        { "{\"prefixItems\":[{\"type\":\"string\"}]}", "[]", true },
        { "{\"prefixItems\":[{\"type\":\"string\"}]}", "[1]", false },
        { "{\"required\":[\"a\"]}", "{\"a\":null}", true },
        { "{\"required\":[\"a\"]}", "{\"b\":1}", false },
        { "{\"required\":[\"a\"]}", "[]", true },
        { "{\"minProperties\":1}", "{}", false },
        { "{\"maxProperties\":1}", "{\"a\":1,\"b\":1}", false },
        { "{\"properties\":{\"a\":false}}", "{\"a\":1}", false },
        { "{\"properties\":{\"a\":false}}", "{\"b\":1}", true },
        { "{\"properties\":{\"a\":{}},\"additionalProperties\":{\"type\":\"null\"}}", "{\"a\":1,\"b\":null}",
          true },
        { "{\"properties\":{\"a\":{}},\"additionalProperties\":{\"type\":\"null\"}}", "{\"a\":1,\"b\":1}",
          false },
        { "{\"patternProperties\":{\"^x\":{\"type\":\"null\"}},\"additionalProperties\":false}",
          "{\"x1\":null}", true },
        { "{\"patternProperties\":{\"^x\":{\"type\":\"null\"}},\"additionalProperties\":false}", "{\"x1\":1}",
          false },
        { "{\"patternProperties\":{\"^x\":{\"type\":\"null\"}},\"additionalProperties\":false}",
          "{\"y\":null}", false },
        { "{\"properties\":{\"xa\":{\"type\":\"null\"}},\"patternProperties\":{\"^x\":false}}",
          "{\"xa\":null}", false },
        { "{\"propertyNames\":{\"maxLength\":2}}", "{\"abc\":1}", false },
        { "{\"propertyNames\":{\"maxLength\":2}}", "{\"ab\":1}", true },
        { "{\"propertyNames\":{\"$ref\":\"#\"},\"maxLength\":1}", "{\"ab\":1}", false },
        { "{\"dependentRequired\":{\"a\":[\"b\"]}}", "{\"a\":1}", false },
        { "{\"dependentRequired\":{\"a\":[\"b\"]}}", "{\"b\":1}", true },
        { "{\"allOf\":[{\"type\":\"string\"},{\"minLength\":2}]}", "\"a\"", false },
        { "{\"anyOf\":[{\"type\":\"string\"},{\"minimum\":2}]}", "1", false },
        { "{\"anyOf\":[{\"type\":\"string\"},{\"minimum\":2}]}", "2", true },
        { "{\"oneOf\":[{\"type\":\"integer\"},{\"minimum\":2}]}", "3", false },
        { "{\"oneOf\":[{\"type\":\"integer\"},{\"minimum\":2}]}", "1", true },
        { "{\"not\":{\"type\":\"string\"}}", "\"a\"", false },
        { "{\"not\":{}}", "1", false },
        { "{\"not\":{\"not\":{}}}", "1", true },
        { "{\"if\":{\"type\":\"string\"},\"then\":{\"minLength\":2},\"else\":{\"minimum\":2}}", "\"a\"",
          false },
        { "{\"if\":{\"type\":\"string\"},\"then\":{\"minLength\":2},\"else\":{\"minimum\":2}}", "1", false },
        { "{\"if\":{\"type\":\"string\"},\"then\":{\"minLength\":2},\"else\":{\"minimum\":2}}", "2", true },
        { "{\"then\":false,\"else\":false}", "2", true },
        { "{\"if\":false}", "2", true },
        { "{\"$ref\":\"#/$defs/a\",\"$defs\":{\"a\":{\"type\":\"string\"}}}", "1", false },
        { "{\"$ref\":\"#/$defs/a\",\"minimum\":2,\"$defs\":{\"a\":{\"type\":\"integer\"}}}", "1", false },
        { "{\"$ref\":\"#b\",\"$defs\":{\"a\":{\"$anchor\":\"b\",\"type\":\"string\"}}}", "\"\"", true },
        { "{\"$ref\":\"#/$defs/a~1b~0\",\"$defs\":{\"a/b~\":{\"type\":\"string\"}}}", "1", false },
        { "{\"items\":{\"$ref\":\"#\"},\"type\":[\"array\",\"integer\"]}", "[[1,[2]],3]", true },
        { "{\"items\":{\"$ref\":\"#\"},\"type\":[\"array\",\"integer\"]}", "[[1,[\"2\"]],3]", false },
        { "{\"type\":\"string\",\"format\":\"uri\",\"default\":1,\"x-mcp-header\":\"A\",\"title\":\"t\","
          "\"contentEncoding\":\"base64\"}",
          "\"%\"", true },
        { "{\"$schema\":\"https://json-schema.org/draft/2020-12/schema\",\"$id\":\"https://example.com/"
          "x\",\"type\":\"object\"}",
          "{}", true },
    };
    struct sbx_schema_errors errors;
    struct sbx_schema *schema;
    json_t *value;
    size_t i;

    for (i = 0; i < SBX_COUNT(table); i++) {
        schema = compile(table[i].schema);
        value = parse(table[i].value);
        memset(&errors, 0xff, sizeof(errors));
        ok(sbx_schema_check(schema, value, &errors) == table[i].fits, "%s %s %s", table[i].value,
           table[i].fits ? "fits" : "does not fit", table[i].schema);
        ok((errors.n == 0) == table[i].fits, "%u errors", errors.n);
        json_decref(value);
        schema = sbx_schema_free(schema);
    }
}

#define TOOL                                                                                                 \
    "{\"type\":\"object\",\"required\":[\"language\",\"code\"],\"additionalProperties\":false,"              \
    "\"properties\":{\"language\":{\"type\":\"string\",\"enum\":[\"python\",\"javascript\",\"bash\"]},"      \
    "\"code\":{\"type\":\"string\",\"minLength\":1},\"session_id\":{\"type\":\"string\",\"pattern\":\"^ses_" \
    "\"},"                                                                                                   \
    "\"timeout_seconds\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":300},"                              \
    "\"env\":{\"type\":\"object\",\"additionalProperties\":{\"type\":\"string\"}},"                          \
    "\"files\":{\"type\":\"array\",\"maxItems\":2,\"items\":{\"type\":\"object\",\"required\":[\"path\"],"   \
    "\"oneOf\":[{\"required\":[\"content\"]},{\"required\":[\"uri\"]}],\"properties\":{\"path\":{\"type\":"  \
    "\"string\"},\"content\":{\"type\":\"string\"},\"uri\":{\"type\":\"string\"}}}}}}"

static void
test_errors(void)
{
    static const struct {
        const char *value;
        unsigned n;
        const char *field, *message; /* of the first */
    } table[] = {
        { "1", 1, "", "must be an object, not 1" },
        { "[1]", 1, "", "must be an object, not an array" },
        { "{\"code\":\"1\"}", 1, "/language", "is required: a string" },
        { "{}", 2, "/language", "is required: a string" },
        { "{\"language\":\"python\",\"code\":1.5}", 1, "/code", "must be a string, not 1.5" },
        { "{\"language\":\"python\",\"code\":\"\"}", 1, "/code", "must have at least 1 character, not 0" },
        { "{\"language\":\"ruby\",\"code\":\"1\"}", 1, "/language",
          "must be one of \"python\", \"javascript\", \"bash\", not \"ruby\"" },
        { "{\"language\":\"a\\u001b[31m\\n\",\"code\":\"1\"}", 1, "/language",
          "must be one of \"python\", \"javascript\", \"bash\", not \"a\\u001b[31m\\n\"" },
        { "{\"language\":\"python\",\"code\":\"1\",\"timeout\":5}", 1, "/timeout",
          "is not known here; did you mean \"timeout_seconds\"?" },
        { "{\"language\":\"python\",\"code\":\"1\",\"timeoutSeconds\":5}", 1, "/timeoutSeconds",
          "is not known here; did you mean \"timeout_seconds\"?" },
        { "{\"language\":\"python\",\"code\":\"1\",\"sesion_id\":\"\"}", 1, "/sesion_id",
          "is not known here; did you mean \"session_id\"?" },
        { "{\"language\":\"python\",\"code\":\"1\",\"zzzzzz\":5}", 1, "/zzzzzz",
          "is not known here; known are \"code\", \"env\", \"files\", \"language\", \"session_id\", "
          "\"timeout_seconds\"" },
        { "{\"language\":\"python\",\"code\":\"1\",\"a/b\\u0007\":5}", 1, "/a~1b?", NULL },
        { "{\"language\":\"python\",\"code\":\"1\",\"timeout_seconds\":\"30s\"}", 1, "/timeout_seconds",
          "must be an integer, not \"30s\"" },
        { "{\"language\":\"python\",\"code\":\"1\",\"timeout_seconds\":0}", 1, "/timeout_seconds",
          "must be at least 1, not 0" },
        { "{\"language\":\"python\",\"code\":\"1\",\"timeout_seconds\":301}", 1, "/timeout_seconds",
          "must be at most 300, not 301" },
        { "{\"language\":\"python\",\"code\":\"1\",\"session_id\":\"job_1\"}", 1, "/session_id",
          "must be as the pattern \"^ses_\", not \"job_1\"" },
        { "{\"language\":\"python\",\"code\":\"1\",\"env\":{\"A\":1,\"B\":\"2\",\"C\":null}}", 2, "/env/A",
          "must be a string, not 1" },
        { "{\"language\":\"python\",\"code\":\"1\",\"files\":[{\"path\":\"a\",\"content\":\"\"},{\"path\":"
          "\"b\"}]}",
          1, "/files/1",
          "fits none of 2 alternatives: (1) /files/1/content is required; (2) /files/1/uri is required" },
        { "{\"language\":\"python\",\"code\":\"1\",\"files\":[{\"path\":\"a\",\"content\":\"\",\"uri\":\"\"}]"
          "}",
          1, "/files/0", "must fit only one of 2 alternatives, and fits more" },
        { "{\"language\":\"python\",\"code\":\"1\",\"files\":[1,2,3]}", 1, "/files",
          "must have at most 2 items, not 3" },
        { "{\"language\":1,\"code\":2,\"a\":1,\"b\":1,\"c\":1,\"d\":1,\"e\":1,\"f\":1,\"g\":1}", 8,
          "/language", "must be a string, not 1" },
        { "{\"language\":\"python\",\"code\":\"1\",\"env\":"
          "\"\\u00e4\\u00e4\\u00e4\\u00e4\\u00e4\\u00e4\\u00e4\\u00e4\\u00e4\\u00e4\\u00e4\\u00e4\\u00e4\\u00"
          "e4"
          "\\u00e4\\u00e4\\u00e4\\u00e4\\u00e4xy\\u00e4\\u00e4\"}",
          1, "/env",
          "must be an object, not "
          "\"\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4"
          "\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4xy\"..." },
    };
    struct sbx_schema_errors errors;
    struct sbx_schema *schema = compile(TOOL);
    json_t *value;
    size_t i;

    for (i = 0; i < SBX_COUNT(table); i++) {
        value = parse(table[i].value);
        ok(!sbx_schema_check(schema, value, &errors), "does not fit: %s", table[i].value);
        is_uint(errors.n, table[i].n, "%u errors", table[i].n);
        is_str(errors.error[0].field, table[i].field, "first at %s", table[i].field);
        if (table[i].message != NULL) {
            is_str(errors.error[0].message, table[i].message, "says so");
        }
        json_decref(value);
    }
    schema = sbx_schema_free(schema);
}

/* Values that would take long are refused, whatever the answer would have been. */
static void
test_work(void)
{
    static char text[131072];
    struct sbx_buf buf = SBX_BUF_OVER(text);
    struct sbx_schema_errors errors;
    struct sbx_schema *schema = compile("{\"uniqueItems\":true}");
    json_t *value;
    int i;

    sbx_buf_puts(&buf, "[0");
    for (i = 1; i < 10000; i++) {
        sbx_buf_printf(&buf, ",%d", i);
    }
    sbx_buf_puts(&buf, "]");
    value = parse(text);
    ok(!sbx_schema_check(schema, value, &errors) && errors.n == 1, "fifty million pairs: %s",
       errors.error[0].message);
    json_decref(value);
    schema = sbx_schema_free(schema);

    /* Each level asks the next one twice. */
    sbx_buf_reset(&buf);
    sbx_buf_puts(&buf, "{\"$ref\":\"#/$defs/d0\",\"$defs\":{");
    for (i = 0; i < 14; i++) {
        sbx_buf_printf(&buf, "\"d%d\":{\"anyOf\":[{\"$ref\":\"#/$defs/d%d\"},{\"$ref\":\"#/$defs/d%d\"}]},",
                       i, i + 1, i + 1);
    }
    sbx_buf_puts(&buf, "\"d14\":false}}");
    value = parse(text);
    is_int(sbx_schema_compile(&schema, value, &errors.error[0]), SBX_SCHEMA_E_FORM,
           "alternatives in alternatives: %s", errors.error[0].message);
    json_decref(value);

    schema = compile("{\"not\":{\"anyOf\":[{\"uniqueItems\":true}]}}");
    sbx_buf_reset(&buf);
    sbx_buf_puts(&buf, "[0");
    for (i = 1; i < 10000; i++) {
        sbx_buf_printf(&buf, ",%d", i);
    }
    sbx_buf_puts(&buf, "]");
    value = parse(text);
    ok(!sbx_schema_check(schema, value, &errors) && errors.n == 1,
       "what is spent within a `not` does not count as yes");
    json_decref(value);
    schema = sbx_schema_free(schema);

    schema = compile("{\"items\":{\"pattern\":\"a\"}}");
    sbx_buf_reset(&buf);
    sbx_buf_puts(&buf, "[\"");
    for (i = 0; i < 5000; i++) {
        sbx_buf_puts(&buf, "a");
    }
    sbx_buf_puts(&buf, "\"]");
    value = parse(text);
    ok(!sbx_schema_check(schema, value, &errors), "a pattern is held against short texts only");
    is_str(errors.error[0].message, "must have at most 4096 bytes", "and that is said");
    json_decref(value);
    schema = sbx_schema_free(schema);

    schema = compile("{\"items\":{\"$ref\":\"#\"}}");
    value = json_array();
    for (i = 0; i < 100; i++) {
        json_t *outer = json_array();

        (void)json_array_append_new(outer, value);
        value = outer;
    }
    ok(!sbx_schema_check(schema, value, &errors) && errors.n == 1, "too deep to be asked: %s",
       errors.error[0].message);
    json_decref(value);
    schema = sbx_schema_free(schema);
}

int
main(void)
{
    test_compile_refused();
    test_compile_bounds();
    test_fits();
    test_errors();
    test_work();
    return done_testing();
}
