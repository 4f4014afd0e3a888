// Lists what openapi.json says. Text goes in as text alone: nothing of the document becomes markup.
'use strict';

function element(name, attributes, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
        made.setAttribute(key, value);
    }
    made.append(...children);
    return made;
}

function follow(api, value) {
    while (value && value.$ref) {
        value = value.$ref.slice(2).split('/').reduce((at, part) => at[part], api);
    }
    return value;
}

function anchor(ref) {
    return 'schema-' + ref.split('/').pop();
}

// A schema as text, with a link for each of its references.
function schemaText(schema) {
    const block = element('pre', { tabindex: '0' });
    for (const part of JSON.stringify(schema, null, 2).split(/("\$ref": "#\/components\/schemas\/[\w-]+")/)) {
        const ref = part.match(/"(#\/components\/schemas\/[\w-]+)"/);
        block.append(ref && part.startsWith('"$ref"') ? element('a', { href: '#' + anchor(ref[1]) }, ref[1].split('/').pop()) : part);
    }
    return block;
}

function parameterTable(api, parameters) {
    const rows = parameters.map((given) => {
        const parameter = follow(api, given);
        return element('tr', {}, element('td', {}, element('code', {}, parameter.name)), element('td', {}, parameter.in),
            element('td', {}, (parameter.required ? 'required. ' : '') + (parameter.description || '')));
    });
    return element('table', {}, element('tbody', {}, ...rows));
}

function contentParts(content) {
    return Object.entries(content || {}).flatMap(([type, media]) => {
        const parts = [element('p', {}, element('code', {}, type))];
        if (media['x-events']) {
            parts.push(schemaText(media['x-events']));
        } else if (media.schema) {
            parts.push(schemaText(media.schema));
        }
        return parts;
    });
}

function quoted(text) {
    return "'" + text.replaceAll("'", "'\\''") + "'";
}

// A line for a shell in which URL and TOKEN are set; what is in braces is for the reader to fill in.
function curl(api, method, path, operation) {
    const words = ['curl -s'];
    const body = follow(api, operation.requestBody);
    const type = body && Object.keys(body.content)[0];
    if (method !== 'get') {
        words.push('-X ' + method.toUpperCase());
    }
    words.push('"$URL"' + quoted(path));
    if (!operation.security || operation.security.length > 0) {
        words.push('-H "Authorization: Bearer $TOKEN"');
    }
    if (type === 'application/json') {
        const schema = follow(api, body.content[type].schema);
        const members = Object.fromEntries((schema.required || []).map((name) => [name, '…']));
        words.push("-H 'Content-Type: application/json'", '-d ' + quoted(JSON.stringify(members)));
    } else if (type) {
        words.push('--data-binary @file');
    }
    return words.join(' ');
}

function fill(api, method, path, operation, into) {
    if (operation.description) {
        into.append(element('p', {}, operation.description));
    }
    into.append(element('pre', { tabindex: '0' }, curl(api, method, path, operation)));
    if (operation.parameters) {
        into.append(element('h3', {}, 'Parameters'), parameterTable(api, operation.parameters));
    }
    const body = follow(api, operation.requestBody);
    if (body) {
        into.append(element('h3', {}, 'Body'), ...contentParts(body.content));
    }
    into.append(element('h3', {}, 'Answers'));
    for (const [status, given] of Object.entries(operation.responses)) {
        const answer = follow(api, given);
        const more = element('details', {}, element('summary', {}, element('code', {}, status), ' ' + answer.description));
        more.append(...contentParts(answer.content));
        into.append(more);
    }
}

// Filled when it is opened for the first time: most never are.
function operationDetails(api, method, path, operation) {
    const details = element('details', { id: operation.operationId },
        element('summary', {}, element('span', { class: 'method' }, method.toUpperCase()), element('code', {}, path), ' ' + operation.summary));
    details.addEventListener('toggle', () => {
        if (details.open && details.childElementCount === 1) {
            fill(api, method, path, operation, details);
        }
    });
    details.dataset.words = [method, path, operation.operationId, operation.summary].join(' ').toLowerCase();
    return details;
}

function show(api) {
    const sections = new Map(api.tags.map((tag) => [tag.name, element('section', {}, element('h2', {}, tag.name))]));
    for (const [path, methods] of Object.entries(api.paths)) {
        for (const [method, operation] of Object.entries(methods)) {
            if (!operation['x-internal']) {
                sections.get(operation.tags[0]).append(operationDetails(api, method, path, operation));
            }
        }
    }
    const schemas = element('section', {}, element('h2', {}, 'schemas'));
    for (const [name, schema] of Object.entries(api.components.schemas)) {
        const details = element('details', { id: 'schema-' + name }, element('summary', {}, element('code', {}, name)), schemaText(schema));
        details.dataset.words = name.toLowerCase();
        schemas.append(details);
    }
    document.getElementById('title').textContent = api.info.title;
    document.title = api.info.title;
    document.getElementById('about').textContent = api.info.summary;
    document.getElementById('routes').replaceChildren(...sections.values(), schemas);
}

function openTarget() {
    const target = location.hash.length > 1 ? document.getElementById(decodeURIComponent(location.hash.slice(1))) : null;
    if (target instanceof HTMLDetailsElement) {
        target.open = true;
        target.scrollIntoView();
        target.querySelector('summary').focus();
    }
}

function find() {
    const words = document.getElementById('find').value.toLowerCase().split(/\s+/);
    for (const details of document.querySelectorAll('section > details')) {
        details.hidden = !words.every((word) => details.dataset.words.includes(word));
    }
}

fetch('/openapi.json').then((reply) => reply.json()).then((api) => {
    show(api);
    openTarget();
    window.addEventListener('hashchange', openTarget);
    document.getElementById('find').addEventListener('input', find);
}).catch((error) => {
    document.getElementById('routes').textContent = 'openapi.json could not be read: ' + error.message;
});
