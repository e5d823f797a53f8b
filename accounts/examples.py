"""What to type so that a program uses a key here: an example for each usual client. Pure."""

from __future__ import annotations

from dataclasses import dataclass

PLACEHOLDER = "dpl_…"
"""Stands where a key belongs that nobody can show any more."""
_SAY = "Say hello"
_BODY = '{"model": "auto", "messages": [{"role": "user", "content": "' + _SAY + '"}]}'


@dataclass(frozen=True, slots=True)
class Example:
    """One client: its name, and what to type."""

    name: str
    code: str

    @property
    def slug(self) -> str:
        """A name that an id in a page can hold."""
        return self.name.lower().replace(" ", "-").replace(".", "").replace("(", "").replace(")", "")


def examples(*, server: str, key: str = PLACEHOLDER, may_chat: bool = True) -> tuple[Example, ...]:
    """The examples for a key; one that may not chat gets those that list the models."""
    make = (_curl, _python, _javascript, _ollama) if may_chat else (_curl_reading, _python_reading)
    return tuple(one(server.rstrip("/"), key) for one in make)


def _curl(server: str, key: str) -> Example:
    return Example(
        "curl",
        f'curl {server}/v1/chat/completions \\\n  -H "Authorization: Bearer {key}" \\\n'
        f"  -H \"Content-Type: application/json\" \\\n  -d '{_BODY}'",
    )


def _python(server: str, key: str) -> Example:
    return Example(
        "OpenAI (Python)",
        f'from openai import OpenAI\n\nclient = OpenAI(base_url="{server}/v1", api_key="{key}")\n'
        'answer = client.chat.completions.create(\n    model="auto",\n'
        f'    messages=[{{"role": "user", "content": "{_SAY}"}}],\n)\n'
        "print(answer.choices[0].message.content)",
    )


def _javascript(server: str, key: str) -> Example:
    return Example(
        "OpenAI (JavaScript)",
        f'import OpenAI from "openai";\n\nconst client = new OpenAI({{ baseURL: "{server}/v1", apiKey: "{key}" }});\n'
        'const answer = await client.chat.completions.create({\n  model: "auto",\n'
        f'  messages: [{{ role: "user", content: "{_SAY}" }}],\n}});\n'
        "console.log(answer.choices[0].message.content);",
    )


def _ollama(server: str, key: str) -> Example:
    return Example(
        "Ollama (Python)",
        f'from ollama import Client\n\nclient = Client(\n    host="{server}",\n'
        f'    headers={{"Authorization": "Bearer {key}"}},\n)\n'
        f'answer = client.chat(model="auto", messages=[{{"role": "user", "content": "{_SAY}"}}])\n'
        "print(answer.message.content)",
    )


def _curl_reading(server: str, key: str) -> Example:
    return Example("curl", f'curl {server}/v1/models \\\n  -H "Authorization: Bearer {key}"')


def _python_reading(server: str, key: str) -> Example:
    return Example(
        "OpenAI (Python)",
        f'from openai import OpenAI\n\nclient = OpenAI(base_url="{server}/v1", api_key="{key}")\n'
        "for model in client.models.list():\n    print(model.id)",
    )
