// The AI SDK, as its users build applications on it, over an engine that speaks OpenAI's dialect.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { embedMany, generateObject, generateText, jsonSchema, stepCountIs, streamText, tool } from "ai";
import { SCHEMA, TOOLS, assert, refusal, rounded, run } from "./checking.mjs";

globalThis.AI_SDK_LOG_WARNINGS = false;

function provider(side, role, key = side.key) {
  const baseURL = `${side.models[role].url}/v1`;
  return createOpenAICompatible({ name: "dpl", baseURL, apiKey: key, includeUsage: true, supportsStructuredOutputs: true });
}

const words = (side, role = "chat", key = undefined) => ({
  model: provider(side, role, key).chatModel(side.models[role].name),
  prompt: "Hello, 灯 🔥", maxOutputTokens: role === "chat" ? 12 : 400, temperature: 0, seed: 1, maxRetries: 0,
});

const tools = Object.fromEntries(TOOLS.map(({ function: { name, description, parameters } }) => [
  name, tool({ description, inputSchema: jsonSchema(parameters), execute: async () => "fine" }),
]));

function told({ text, reasoningText, toolCalls, finishReason, usage }) {
  const calls = toolCalls.map((call) => [call.toolName, call.input]);
  return { text, thinking: reasoningText ?? "", calls, finishReason, usage: [usage.inputTokens, usage.outputTokens] };
}

async function check_text(side) {
  return told(await generateText(words(side)));
}

async function check_system_and_turns(side) {
  const { prompt, ...rest } = words(side);
  const messages = [{ role: "user", content: "One?" }, { role: "assistant", content: "One." }, { role: "user", content: prompt }];
  return told(await generateText({ ...rest, system: "You are brief.", messages }));
}

async function check_stream(side) {
  const stream = streamText(words(side));
  let text = "";
  for await (const part of stream.textStream) text += part;
  const usage = await stream.usage;
  return [text, await stream.finishReason, usage.inputTokens, usage.outputTokens];
}

async function check_tools(side) {
  return told(await generateText({ ...words(side, "tools"), tools }));
}

async function check_tools_in_two_steps(side) {
  const answer = await generateText({ ...words(side, "tools"), tools, stopWhen: stepCountIs(2) });
  return answer.steps.map(told);
}

async function check_tools_in_a_stream(side) {
  const stream = streamText({ ...words(side, "tools"), tools });
  const kinds = new Set();
  for await (const part of stream.fullStream) kinds.add(part.type);
  assert(!kinds.has("error"), [...kinds]);
  return [[...kinds].sort(), (await stream.toolCalls).map((call) => [call.toolName, call.input])];
}

async function check_thinking(side) {
  return told(await generateText(words(side, "tools")));
}

async function check_object(side) {
  const asked = { ...words(side), maxOutputTokens: 100, schema: jsonSchema(SCHEMA) };
  try {
    return (await generateObject(asked)).object;
  } catch (error) {
    return error.name;
  }
}

async function check_embeddings(side) {
  const model = provider(side, "embed").textEmbeddingModel(side.models.embed.name);
  const answer = await embedMany({ model, values: ["Hello", "World"], maxRetries: 0 });
  return [rounded(answer.embeddings), answer.usage.tokens];
}

async function check_aborted_stream(side) {
  const controller = new AbortController();
  const stream = streamText({ ...words(side), maxOutputTokens: 450, abortSignal: controller.signal, onError: () => {} });
  for await (const _ of stream.textStream) controller.abort();
  return told(await generateText(words(side)));
}

async function gateway_unknown_model(side) {
  const model = provider(side, "chat").chatModel("nope");
  const said = await refusal(() => generateText({ ...words(side), model }));
  assert(said.status === 404 && said.message.includes("There are: "), said);
}

async function gateway_wrong_key(side) {
  const said = await refusal(() => generateText(words(side, "chat", "dpl_wrong")));
  assert(said.status === 401, said);
}

await run([
  check_text, check_system_and_turns, check_stream, check_tools, check_tools_in_two_steps, check_tools_in_a_stream,
  check_thinking, check_object, check_embeddings, check_aborted_stream, gateway_unknown_model, gateway_wrong_key,
]);
