/** Requests to the server of the console. All paths are below the token, which is the first part of the page's path. */

/** The server has refused a request, or does not answer. */
export class RequestError extends Error {
  /**
   * @param {number} status the status of the response; 0 if there is none
   * @param {string} message why
   */
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/**
 * Returns the path of a route in the API, below the token.
 * @param {string} namespace
 * @param {string} name
 */
export function routePath(namespace, name) {
  return `api/routes/${encodeURIComponent(namespace)}/${encodeURIComponent(name)}`;
}

/**
 * Returns a path with a query; parameters that are empty are left out.
 * @param {string} path
 * @param {Record<string, string | number | undefined>} parameters
 */
export function withQuery(path, parameters) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== undefined && value !== "") query.set(name, String(value));
  }
  return query.size ? `${path}?${query}` : path;
}

/**
 * Reads something.
 * @param {string} path
 * @param {AbortSignal} [signal]
 * @returns {Promise<any>}
 */
export async function get(path, signal) {
  let response;
  try {
    response = await fetch(path, { signal, cache: "no-store" });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new RequestError(0, "the console does not answer: is its command still running?");
  }
  return await decode(response);
}

/** @param {Response} response */
async function decode(response) {
  if (response.ok) return await response.json();
  const { message } = await response.json().catch(() => ({ message: response.statusText }));
  throw new RequestError(response.status, message);
}

/**
 * Does something, or with `dryRun` asks the API server whether it would accept it.
 * @param {string} namespace
 * @param {string} name the route
 * @param {import("./types.js").ActRequest} request
 * @returns {Promise<{messages: string[]}>}
 */
export async function act(namespace, name, request) {
  let response;
  try {
    response = await fetch(`${routePath(namespace, name)}/acts`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(request),
    });
  } catch {
    throw new RequestError(0, "the console does not answer, so it is not known whether this was done");
  }
  return await decode(response);
}
