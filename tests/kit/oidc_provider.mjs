// An OpenID provider for tests: node oidc_provider.mjs PATH-OF-OIDC-PROVIDER JSON-LIST-OF-CLIENTS. Prints its issuer.
import http from "node:http";
import { pathToFileURL } from "node:url";

const [library, clients] = process.argv.slice(2);
const { Provider } = await import(pathToFileURL(library));
const server = http.createServer();
server.listen(0, "127.0.0.1", () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: JSON.parse(clients),
    clientAuthMethods: ["client_secret_basic", "client_secret_post", "private_key_jwt"],
    enabledJWA: { clientAuthSigningAlgValues: ["RS256", "RS384", "PS256", "ES256", "Ed25519"] },
    scopes: ["api.read"],
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_, audience) => ({ scope: "api.read", audience, accessTokenFormat: "jwt" }),
      },
    },
  });
  server.on("request", provider.callback());
  console.log(issuer);
});
// It ends with the tests: they hold its standard input.
process.stdin.on("end", () => process.exit(0)).resume();
