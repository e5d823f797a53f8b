"""The sentences that DPL writes down in English and its pages show in the reader's language.

What stands in rows, answers and logs is a contract, so it is English. A page finds here what it is made from. Tests
have the makers say most of them, and find those that nobody says any more.
"""

from __future__ import annotations

from functools import cache

from django.utils.translation import get_language, gettext, override
from django.utils.translation import gettext_noop as _

from dpl_site.lib.sentences import Sentences

MACHINES = (
    _("it has neither an agent nor an engine"),
    _("it has not been asked yet"),
    _("it has not pushed yet; is the agent running, and does it reach this server?"),
    _("it has not pushed for %(time)s; is the machine on, and does it reach this server?"),
    _("a day"),
    _("an hour"),
    _("a minute"),
    _("10 minutes"),
    _("agent"),
    _("the agent refuses DPL's token; enter the one in its DPL_AGENT_TOKEN"),
    _("the agent answers with status %(status)s; look at what it logs"),
    _("the agent refuses and names no lock"),
    _("%(place)s answers with %(what)s, so it is no agent; check the port"),
    _("not found (404)"),
    _("a web page"),
    _("something that is not JSON"),
    _("JSON without agent_version"),
    _("JSON that is no object"),
    _("more than %(size)s MiB"),
)
"""What is wrong with a machine or its agent."""
CONNECTIONS = (
    _("%(place)s answers, but not in HTTP; check the port"),
    _("%(place)s closed the connection without an answer; look at what the agent logs"),
    _("%(place)s closed the connection without an answer; look at what the engine logs"),
    _("the exchange with %(place)s failed: %(error)s"),
    _("the name %(host)s is not found; check its spelling, or enter an IP address"),
    _("the certificate of %(place)s is not trusted (%(error)s); trust its authority here"),
    _("%(place)s does not answer in TLS (%(error)s); try http:// instead of https://"),
    _("no answer from %(place)s in time; is the machine on, and does its firewall let this port through?"),
    _("no connection to %(place)s: %(error)s"),
    _("nothing listens at %(place)s; start the agent, or check the port"),
    _("nothing listens at %(place)s; start the engine, or check the port"),
    _("there is no way to %(place)s; check the address, the cable or the VPN"),
    _("%(place)s said nothing for %(seconds)s s"),
    _("Asking it failed: %(error)s. The log has the details."),
)
"""Why a call did not come through."""
ENGINES = (
    _("It is loading its model."),
    _("It answers %(path)s without end; expected Ollama or an OpenAI-compatible server."),
    _("It refuses the key that is entered here (%(status)s); enter the engine's own key."),
    _("It asks for a key (%(status)s); enter the engine's key."),
    _("It answers %(status)s; try again when it is ready."),
    _("It redirects to %(address)s; enter that address."),
    _("It answers, but like %(what)s (%(about)s); expected Ollama or an OpenAI-compatible server."),
    _("nothing"),
    _("The engine's key holds a line break or another control character; enter it anew."),
    _("What kind of engine this is has not been found out yet; wait until it was asked."),
    _("The prompt is longer than the model's context"),
    _("The engine does not have the model"),
    _("The engine is busy"),
    _("The engine refuses DPL (%(status)s); check its key and its allowed hosts"),
    _("Something else than the engine answers at its address (%(status)s)"),
    _("The engine, or a proxy before it, gave up on the prompt (%(status)s)"),
    _("The engine answered without an answer (%(status)s)"),
    _("The engine does not do this"),
    _("The engine failed on the prompt (%(status)s)"),
    _("The engine refuses the request (%(status)s)"),
    _("The engine said nothing for %(seconds)s s."),
    _("The engine's answer is empty."),
    _("The engine's answer is no JSON object."),
    _("The engine's answer broke off before its end."),
    _("The connection broke in the middle of the engine's answer."),
    _("The answer was not whole after %(seconds)s s."),
    _("The answer is larger than %(size)s bytes."),
)
"""What is wrong with an engine or its answer."""
DECISIONS = (
    _("done in about %(seconds)s s"),
    _("%(busy)s of %(all)s slots busy"),
    _("%(speed)s tokens/s measured"),
    _("model resident"),
    _("model must be loaded"),
    _("it answered this conversation before"),
    _("the conversation's prefix belongs here"),
    _("not among the nodes that were asked for"),
    _("offline: %(why)s"),
    _("offline"),
    _("locked by %(owner)s"),
    _("not locked for this job yet"),
    _("breaker open: %(why)s"),
    _("breaker open"),
    _("it has no slots"),
    _("it has just failed this request"),
    _("does not have %(model)s"),
    _("has no model"),
)
"""Why the scheduler chose an engine, or left it out."""
GPUS = (
    _("no NVIDIA driver: its library NVML was not found on this machine"),
    _("no AMD GPU with the driver amdgpu"),
    _("no Ascend driver: its program npu-smi was not found"),
    _("no Intel GPU with the driver xe or i915"),
    _("this is no Mac"),
    _("npu-smi shows no NPU to this process"),
    _("the %(vendor)s driver answers, but shows no GPU to this process"),
    _("NVML does not start: %(error)s"),
    _("NVML does not answer: %(error)s"),
    _("NVML tells nothing of any GPU: %(faults)s"),
    _("amdgpu tells nothing of any GPU: %(slots)s"),
    _("%(slot)s: the driver tells nothing"),
    _("only the GPU's presence is known: %(error)s"),
    _("there is no program %(program)s on this machine"),
    _("%(program)s cannot be run: %(error)s"),
    _("%(program)s has not answered within %(seconds)s s"),
    _("%(program)s fails with code %(code)s: %(words)s"),
)
"""Why there are no figures of a GPU, as agents say it."""
MESSAGES = (*MACHINES, *CONNECTIONS, *ENGINES, *DECISIONS, *GPUS)


def in_words(text: str) -> str:
    """A sentence in the language that is active."""
    language = get_language() or "en"
    return text if language.startswith("en") or not text else sentences(language).told(text)


@cache
def table(language: str) -> dict[str, str]:
    """Every message with what it is in a language; empty for English."""
    if language.startswith("en"):
        return {}
    with override(language):
        return {message: gettext(message) for message in MESSAGES}


@cache
def sentences(language: str) -> Sentences:
    """What says sentences in a language."""
    return Sentences(table(language), joint="；", colon="：", stop="。")
