// Runs a client's checks and prints a line of JSON for each, as scripts/checking.py does.

export const HELLO = [{ role: "user", content: "Hello, 灯 🔥" }];
export const TURNS = [
  { role: "system", content: "You are brief." },
  { role: "user", content: "One?" },
  { role: "assistant", content: "One." },
  { role: "user", content: "And two?" },
];
export const SCHEMA = {
  type: "object",
  properties: { n: { type: "integer", minimum: 1, maximum: 9 }, c: { enum: ["a", "b"] } },
  required: ["n", "c"],
  additionalProperties: false,
};

function tool(name, parameter, value) {
  const properties = { [parameter]: { type: "string", enum: [value] } };
  const parameters = { type: "object", properties, required: [parameter] };
  return { type: "function", function: { name, description: `Tells ${name}`, parameters } };
}

export const TOOLS = [tool("weather", "city", "Oslo"), tool("clock", "zone", "UTC")];

export function assert(condition, said) {
  if (!condition) throw new Error(`not so: ${JSON.stringify(said)}`);
}

export const rounded = (vectors) => vectors.map((vector) => vector.map((value) => Math.round(value * 1e4) / 1e4));

// The error that a call raises, as a client's user sees it.
export async function refusal(ask) {
  let got;
  try {
    got = await ask();
  } catch (error) {
    const status = error.status ?? error.status_code ?? error.statusCode ?? null;
    return { error: error.constructor.name, status, message: String(error.message).slice(0, 400) };
  }
  throw new Error(`it was not refused: ${JSON.stringify(got)}`);
}

// What comes of it, an answer or a refusal.
export async function either(ask) {
  try {
    return await ask();
  } catch {
    return await refusal(ask);
  }
}

export async function run(checks) {
  let text = "";
  for await (const part of process.stdin) text += part;
  for (const [name, side] of Object.entries(JSON.parse(text))) {
    for (const check of checks) {
      const applies = check.name.startsWith("check_") || (check.name.startsWith("gateway_") && side.is_gateway);
      if (!applies) continue;
      let outcome;
      try {
        outcome = { passed: true, saw: (await check(side)) ?? null };
      } catch (error) {
        outcome = { passed: false, saw: String(error.stack).slice(0, 1500) };
      }
      process.stdout.write(JSON.stringify({ side: name, check: check.name, ...outcome }) + "\n");
    }
  }
}
