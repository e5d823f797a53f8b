/* What a node's machine is made of, its GPUs and what runs on them. */

import { fill, list } from "./fill.js";
import { inWords } from "./sentences.js";
import { duration, heat, number, percent, size } from "./show.js";

export function drawMachine(page, machine) {
  fill(page, { "has-machine": Boolean(machine), past: Boolean(machine) && !machine.current });
  if (!machine) return;
  fill(page, facts(machine));
  list(page, "filesystems", "t-filesystem", machine.filesystems, (disk) => disk.mount, drawDisk);
  drawGpus(page, machine);
}

function facts({ cpu, memory, swap, ...machine }) {
  return {
    "told-at": machine.told_at,
    outdated: machine.agent_outdated,
    "agent-version": machine.agent_version,
    uptime: duration(machine.uptime_s),
    "cpu-model": cpu.model ?? "–",
    logical: number(cpu.logical_cores),
    physical: number(cpu.physical_cores),
    load1: number(cpu.load1, 2),
    "cpu-heat": heat(cpu.temperature_c),
    "mem-used": size(memory.used_bytes),
    "mem-total": size(memory.total_bytes),
    "swap-used": size(swap.used_bytes),
    "swap-total": size(swap.total_bytes),
    hostname: machine.hostname ?? "–",
    os: machine.os ?? "–",
  };
}

function drawDisk(row, disk) {
  fill(row, {
    "d-mount": disk.mount,
    "d-meter": disk.percent,
    "d-percent": percent(disk.percent),
    "d-used": size(disk.used_bytes),
    "d-total": size(disk.total_bytes),
  });
}

function drawGpus(page, machine) {
  const running = machine.gpus.flatMap((gpu) => gpu.processes.map((one) => ({ ...one, gpu: gpu.index })));
  fill(page, {
    "has-gpus": machine.gpus.length > 0,
    "gpu-error": inWords(machine.gpu_error),
    "has-processes": running.length > 0,
  });
  list(page, "gpus", "t-gpu", machine.gpus, (gpu) => gpu.index, drawGpu);
  list(page, "processes", "t-process", running, (one) => `${one.gpu}-${one.pid}`, drawProcess);
}

function drawGpu(row, gpu) {
  fill(row, {
    "g-index": gpu.index,
    "g-name": gpu.name ?? "GPU",
    "g-health": gpu.health === "OK" ? "" : gpu.health,
    "g-meter": gpu.utilization_percent,
    "g-percent": percent(gpu.utilization_percent),
    "g-used": size(gpu.memory_used_bytes),
    "g-total": size(gpu.memory_total_bytes),
    "g-heat": heat(gpu.temperature_c),
    "g-power": number(gpu.power_w),
    "g-limit": number(gpu.power_limit_w),
    "g-clock": number(gpu.clock_mhz),
    "g-throttle": (gpu.throttle_reasons ?? []).join(", "),
  });
}

function drawProcess(row, one) {
  fill(row, {
    "p-gpu": one.gpu,
    "p-pid": one.pid,
    "p-name": one.name ?? "–",
    "p-user": one.user ?? "–",
    "p-container": one.container ?? "–",
    "p-elapsed": duration(one.elapsed_s),
    "p-memory": size(one.memory_bytes),
    "p-command": one.command ?? "–",
  });
}
