/** Sends the requests of the sidecar's and the resolver's APIs, and decodes their answers. */

import type { components } from "./api/sidecar.js";

/** An answer other than success. Both APIs have the same one. */
export class ProblemError extends Error {
  constructor(
    readonly status: number,
    readonly kind: string,
    detail: string,
  ) {
    super(detail);
  }
}

/** Sends a request, with a body if one is given, and returns the decoded answer; undefined if it has no body. */
export async function call<Answer>(method: string, url: string, body?: object): Promise<Answer> {
  const response = await fetch(url, {
    method,
    ...(body && { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } }),
    signal: AbortSignal.timeout(15_000),
  });
  await check(response);
  const text = await response.text();
  return (text ? JSON.parse(text) : undefined) as Answer;
}

/** Throws the problem of an answer other than success. */
export async function check(response: Response): Promise<void> {
  if (response.ok) return;
  const text = await response.text();
  if (response.headers.get("content-type")?.startsWith("application/problem+json")) {
    const problem = JSON.parse(text) as components["schemas"]["Problem"];
    throw new ProblemError(response.status, problem.type.split(":").at(-1) ?? "", problem.detail);
  }
  throw new ProblemError(response.status, "", text.trim() || `${response.status} ${response.statusText}`);
}

/** Returns why something failed, for a line of a log: fetch has the reason in the cause of its error. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message;
}
