// Ollama's own library for JavaScript.
import { Ollama } from "ollama";
import { HELLO, SCHEMA, TOOLS, TURNS, assert, either, refusal, rounded, run } from "./checking.mjs";

const STEADY = { temperature: 0, seed: 1, num_predict: 12 };

const client = (side, role = "chat", key = side.key) =>
  new Ollama({ host: side.models[role].url, headers: { Authorization: `Bearer ${key}` } });

const chat = (side, more = {}, role = "chat") =>
  client(side, role).chat({ model: side.models[role].name, messages: HELLO, options: STEADY, ...more });

const long = (side, more = {}) => chat(side, { options: { ...STEADY, num_predict: 400 }, ...more }, "tools");

function told({ model, message, done, done_reason, prompt_eval_count, eval_count }) {
  const calls = (message.tool_calls ?? []).map((one) => [one.function.name, one.function.arguments]);
  const { content: text, thinking = "" } = message;
  return { model, text, thinking, calls, end: [done, done_reason], usage: [prompt_eval_count, eval_count] };
}

async function gathered(stream) {
  let last;
  const whole = { text: "", thinking: "", calls: [] };
  for await (const part of stream) {
    last = told(part);
    whole.text += last.text;
    whole.thinking += last.thinking;
    whole.calls.push(...last.calls);
  }
  return { ...last, ...whole };
}

async function check_chat(side) {
  const answer = told(await chat(side));
  assert(answer.text && answer.end[0] && answer.usage[1] === 12, answer);
  return answer;
}

async function check_system_and_turns(side) {
  return told(await chat(side, { messages: TURNS }));
}

async function check_stream(side) {
  return gathered(await chat(side, { stream: true }));
}

async function check_generate(side) {
  const asked = { model: side.models.chat.name, prompt: "Hello", options: STEADY };
  const answer = await client(side).generate(asked);
  assert(answer.response && answer.done, answer);
  let streamed = "";
  for await (const part of await client(side).generate({ ...asked, stream: true })) streamed += part.response;
  return [answer.response, answer.done_reason, answer.eval_count, streamed];
}

async function check_tools(side) {
  const answer = told(await long(side, { tools: TOOLS }));
  assert(answer.calls.length === 2, answer);
  return answer;
}

async function check_tools_in_a_stream(side) {
  const answer = await gathered(await long(side, { tools: TOOLS, stream: true }));
  assert(answer.calls.length === 2, answer);
  return answer;
}

async function check_thinking(side) {
  const answer = await gathered(await long(side, { think: true, stream: true }));
  assert(answer.thinking, answer);
  return answer;
}

async function check_json_schema(side) {
  return told(await chat(side, { format: SCHEMA, options: { ...STEADY, num_predict: 100 } }));
}

async function check_embed(side) {
  const asked = { model: side.models.embed.name, input: ["Hello", "World"] };
  const answer = await client(side, "embed").embed(asked);
  assert(answer.embeddings.length === 2, answer);
  return rounded(answer.embeddings);
}

async function check_list_and_ps(side) {
  const found = [await client(side).list(), await client(side).ps()];
  return found.map(({ models }) => models.some((one) => one.model.replace(/:latest$/, "") === side.models.chat.name));
}

async function check_show(side) {
  const able = (await client(side).show({ model: side.models.chat.name })).capabilities;
  return able.includes("completion");
}

async function check_unknown_model(side) {
  const said = await refusal(() => chat(side, { model: "nope" }));
  assert(said.message.includes("nope"), said);
  return [said.error, said.status];
}

async function check_wrong_type(side) {
  const said = await either(() => chat(side, { options: { temperature: "hot" } }));
  return said.error;
}

async function check_cancelled_stream(side) {
  const llm = client(side);
  const stream = await llm.chat({ model: side.models.chat.name, messages: HELLO, stream: true, options: { num_predict: 450 } });
  const aborted = await refusal(async () => {
    for await (const _ of stream) llm.abort();
    throw new DOMException("it was over before", "AbortError");
  });
  return [aborted.error, told(await chat(side))];
}

async function gateway_unknown_model(side) {
  const said = await refusal(() => chat(side, { model: "nope" }));
  assert(said.status === 404 && said.message.includes("There are: "), said);
}

async function gateway_wrong_key(side) {
  const llm = client(side, "chat", "dpl_wrong");
  const said = await refusal(() => llm.chat({ model: side.models.chat.name, messages: HELLO }));
  assert(said.status === 401, said);
}

await run([
  check_chat, check_system_and_turns, check_stream, check_generate, check_tools, check_tools_in_a_stream,
  check_thinking, check_json_schema, check_embed, check_list_and_ps, check_show, check_unknown_model,
  check_wrong_type, check_cancelled_stream, gateway_unknown_model, gateway_wrong_key,
]);
