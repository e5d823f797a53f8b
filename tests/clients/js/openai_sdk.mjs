// OpenAI's own library for JavaScript.
import OpenAI from "openai";
import { HELLO, SCHEMA, TOOLS, TURNS, assert, either, refusal, rounded, run } from "./checking.mjs";

const client = (side, role = "chat", key = side.key) =>
  new OpenAI({ baseURL: `${side.models[role].url}/v1`, apiKey: key, maxRetries: 0, timeout: 60000 });

const words = (side, role, more) => ({
  model: side.models[role].name, messages: HELLO, max_tokens: 12, temperature: 0, seed: 1, ...more,
});

const chat = (side, more = {}, role = "chat") => client(side, role).chat.completions.create(words(side, role, more));

function told({ object, choices: [choice], usage }) {
  const calls = (choice.message.tool_calls ?? []).map((one) => [one.function.name, JSON.parse(one.function.arguments)]);
  const thinking = choice.message.reasoning_content ?? choice.message.reasoning ?? "";
  const text = choice.message.content ?? "";
  return { object, text, thinking, calls, finish: choice.finish_reason, usage: [usage.prompt_tokens, usage.completion_tokens] };
}

async function gathered(stream) {
  const whole = { text: "", thinking: "", calls: [], finish: [], usage: null };
  for await (const chunk of stream) {
    if (chunk.usage) whole.usage = [chunk.usage.prompt_tokens, chunk.usage.completion_tokens];
    for (const { delta, finish_reason } of chunk.choices) {
      whole.text += delta.content ?? "";
      whole.thinking += delta.reasoning_content ?? delta.reasoning ?? "";
      if (finish_reason) whole.finish.push(finish_reason);
      for (const part of delta.tool_calls ?? []) {
        const call = (whole.calls[part.index] ??= ["", ""]);
        call[0] += part.function.name ?? "";
        call[1] += part.function.arguments ?? "";
      }
    }
  }
  whole.calls = whole.calls.map(([name, given]) => [name, JSON.parse(given)]);
  return whole;
}

const withTools = { tools: TOOLS, parallel_tool_calls: true, max_tokens: 400 };

async function check_chat(side) {
  return told(await chat(side));
}

async function check_system_and_turns(side) {
  return told(await chat(side, { messages: TURNS }));
}

async function check_stream(side) {
  return gathered(await chat(side, { stream: true }));
}

async function check_stream_with_usage(side) {
  return gathered(await chat(side, { stream: true, stream_options: { include_usage: true } }));
}

async function check_stream_helper(side) {
  const stream = client(side).chat.completions.stream(words(side, "chat", {}));
  return (await stream.finalChatCompletion()).choices[0].message.content;
}

async function check_tools(side) {
  return told(await chat(side, withTools, "tools"));
}

async function check_tools_in_a_stream(side) {
  return gathered(await chat(side, { ...withTools, stream: true }, "tools"));
}

async function check_tools_there_and_back(side) {
  const asked = (await chat(side, withTools, "tools")).choices[0].message;
  const results = asked.tool_calls.map((call) => ({ role: "tool", tool_call_id: call.id, content: "fine" }));
  return told(await chat(side, { ...withTools, messages: [...HELLO, asked, ...results] }, "tools"));
}

async function check_thinking(side) {
  return told(await chat(side, { max_tokens: 400 }, "tools"));
}

async function check_json_schema(side) {
  const response_format = { type: "json_schema", json_schema: { name: "answer", schema: SCHEMA } };
  return told(await chat(side, { response_format, max_tokens: 100 }));
}

async function check_logprobs(side) {
  const choice = (await chat(side, { logprobs: true, top_logprobs: 2, max_tokens: 4 })).choices[0];
  return (choice.logprobs?.content ?? []).map((one) => [one.token, one.top_logprobs.length]);
}

async function check_completion(side) {
  const asked = { model: side.models.chat.name, prompt: "Hello", max_tokens: 8, temperature: 0 };
  const answer = await client(side).completions.create(asked);
  return [answer.choices[0].text, answer.choices[0].finish_reason, answer.usage.completion_tokens];
}

async function check_embeddings(side) {
  const asked = { model: side.models.embed.name, input: ["Hello", "World"] };
  return rounded((await client(side, "embed").embeddings.create(asked)).data.map((row) => row.embedding));
}

async function check_models(side) {
  const names = (await client(side).models.list()).data.map((model) => model.id.replace(/:latest$/, ""));
  return names.includes(side.models.chat.name);
}

async function check_wrong_type(side) {
  const said = await either(async () => told(await chat(side, { temperature: "hot" })));
  return [said.error, said.status];
}

async function check_cancelled_stream(side) {
  const stream = await chat(side, { stream: true, max_tokens: 450 });
  for await (const _ of stream) break;
  stream.controller.abort();
  return told(await chat(side));
}

async function gateway_retrieves_a_model(side) {
  const found = await client(side).models.retrieve(side.models.chat.name);
  assert(found.id.replace(/:latest$/, "") === side.models.chat.name, found);
}

async function gateway_unknown_model(side) {
  const said = await refusal(() => chat(side, { model: "nope" }));
  assert(said.error === "NotFoundError" && said.message.includes("There are: "), said);
}

async function gateway_wrong_key(side) {
  const said = await refusal(() => client(side, "chat", "dpl_wrong").chat.completions.create(words(side, "chat", {})));
  assert(said.error === "AuthenticationError" && said.status === 401, said);
}

await run([
  check_chat, check_system_and_turns, check_stream, check_stream_with_usage, check_stream_helper, check_tools,
  check_tools_in_a_stream, check_tools_there_and_back, check_thinking, check_json_schema, check_logprobs,
  check_completion, check_embeddings, check_models, check_wrong_type, check_cancelled_stream,
  gateway_retrieves_a_model, gateway_unknown_model, gateway_wrong_key,
]);
