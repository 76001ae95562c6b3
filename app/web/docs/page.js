// Draws openapi.json. All addresses are relative, so that any path in front of the server works.

// Fields of forms begin empty, or with the form's example: the viewer would fill in a made-up value for each.
function emptied(form, spec) {
  const properties = Object.entries(form.schema.properties).map(([name, schema]) => {
    const empty = referred(schema, spec).type.includes("array") ? [] : "";
    return [name, { ...schema, example: form.example?.[name] ?? empty }];
  });
  return { ...form, schema: { ...form.schema, properties: Object.fromEntries(properties) } };
}

function referred(schema, spec) {
  const steps = schema.$ref?.split("/").slice(1) ?? [];
  return steps.length ? steps.reduce((node, step) => node[step], spec) : schema;
}

function withEmptyForms(spec) {
  const shown = structuredClone(spec);
  for (const operations of Object.values(shown.paths)) {
    const content = operations.post?.requestBody?.content ?? {};
    if (content["multipart/form-data"]) {
      content["multipart/form-data"] = emptied(content["multipart/form-data"], spec);
    }
  }
  return shown;
}

const EmptyForms = () => ({
  statePlugins: {
    spec: { wrapActions: { updateJsonSpec: (update) => (spec) => update(withEmptyForms(spec)) } },
  },
});

// An empty field counts as not sent: leaving it out makes the call that is shown short.
function withoutEmptyFields(request) {
  if (request.body instanceof FormData) {
    const empty = [...request.body].filter(([, value]) => value === "");
    empty.forEach(([name]) => request.body.delete(name));
  }
  return request;
}

// The viewer's own player asks for the speech again, by GET. This one plays, and saves, what has come.
const ReceivedAudio = ({ React }) => {
  function Player({ content }) {
    const address = React.useMemo(() => URL.createObjectURL(content), [content]);
    const player = React.createElement("audio", { controls: true, src: address });
    const link = React.createElement("a", { href: address, download: "speech" }, "Download");
    return React.createElement("p", null, player, " ", link);
  }
  const isAudio = ({ content, contentType }) => content instanceof Blob && contentType?.startsWith("audio/");
  const responseBody = (Original) => (props) => React.createElement(isAudio(props) ? Player : Original, props);
  return { wrapComponents: { responseBody } };
};

SwaggerUIBundle({
  url: new URL("openapi.json", document.baseURI).href,
  dom_id: "#documentation",
  plugins: [EmptyForms, ReceivedAudio],
  requestInterceptor: withoutEmptyFields,
  deepLinking: true,
  tryItOutEnabled: true,
  displayRequestDuration: true,
  persistAuthorization: false, // a key is forgotten with the page
  validatorUrl: null, // asks no validator elsewhere
});
