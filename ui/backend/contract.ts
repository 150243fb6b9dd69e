// Written by a test of src-tauri: everything that goes over, in every form that it has. Do not edit.
import type { Action, Check, ContainerAction, Failure, News, SizeBounds, Source, Told, WorkEvent } from './backend.ts';

interface Contract {
  actions: Action[];
  checks: Check[];
  containerActions: ContainerAction[];
  events: WorkEvent[];
  failure: Failure;
  news: News[];
  sizeBounds: SizeBounds;
  sources: Source[];
  told: Told[];
}

export const contract: Contract = {
  "actions": [
    {
      "cpus": null,
      "disk_mib": null,
      "memory_mib": null,
      "name": "dev",
      "verb": "create"
    },
    {
      "cpus": 2,
      "disk_mib": 20480,
      "memory_mib": 2048,
      "name": "dev",
      "verb": "create"
    },
    {
      "name": "dev",
      "verb": "start"
    },
    {
      "name": "dev",
      "verb": "stop"
    },
    {
      "name": "dev",
      "verb": "restart"
    },
    {
      "name": "dev",
      "verb": "pause"
    },
    {
      "name": "dev",
      "verb": "resume"
    },
    {
      "name": "dev",
      "verb": "suspend"
    },
    {
      "name": "dev",
      "verb": "kill"
    },
    {
      "force": true,
      "name": "dev",
      "verb": "remove"
    }
  ],
  "checks": [
    {
      "detail": "text",
      "hints": [
        "text"
      ],
      "id": "id",
      "outcome": "ok",
      "title": "title"
    },
    {
      "detail": "text",
      "hints": [
        "text"
      ],
      "id": "id",
      "machine": "dev",
      "outcome": "warning",
      "title": "title"
    },
    {
      "detail": "text",
      "hints": [
        "text"
      ],
      "id": "id",
      "outcome": "failed",
      "title": "title"
    }
  ],
  "containerActions": [
    {
      "id": "0123456789ab",
      "machine": "dev",
      "verb": "start"
    },
    {
      "id": "0123456789ab",
      "machine": "dev",
      "verb": "stop"
    },
    {
      "id": "0123456789ab",
      "machine": "dev",
      "verb": "restart"
    },
    {
      "id": "0123456789ab",
      "machine": "dev",
      "verb": "pause"
    },
    {
      "id": "0123456789ab",
      "machine": "dev",
      "verb": "unpause"
    },
    {
      "id": "0123456789ab",
      "machine": "dev",
      "verb": "rm"
    }
  ],
  "events": [
    {
      "elapsed_ms": 1,
      "id": "boot",
      "kind": "stage",
      "machine": "dev",
      "title": "Booting"
    },
    {
      "done": 1,
      "elapsed_ms": 1,
      "kind": "progress",
      "machine": "dev",
      "total": 2,
      "unit": "bytes"
    },
    {
      "done": 1,
      "elapsed_ms": 1,
      "kind": "progress",
      "machine": "dev",
      "total": null,
      "unit": "packages"
    },
    {
      "elapsed_ms": 1,
      "kind": "message",
      "level": "detail",
      "machine": "dev",
      "text": "text"
    },
    {
      "elapsed_ms": 1,
      "kind": "message",
      "level": "info",
      "machine": "dev",
      "text": "text"
    },
    {
      "elapsed_ms": 1,
      "kind": "message",
      "level": "warning",
      "machine": "dev",
      "text": "text"
    },
    {
      "elapsed_ms": 1,
      "kind": "checkpoint",
      "machine": "dev",
      "name": "created"
    }
  ],
  "failure": {
    "cancelled": false,
    "hints": [
      "text"
    ],
    "message": "text"
  },
  "news": [
    {
      "kind": "machines",
      "machines": [
        {
          "active": false,
          "can": [],
          "cpus": 2,
          "disk_mib": 20480,
          "docker_version": null,
          "driver": null,
          "env_line": null,
          "error": null,
          "memory_mib": 2048,
          "name": "off",
          "state": "Running",
          "unreadable": false,
          "url": null,
          "usage": {
            "cpu_percent": null,
            "disk_mib": 1,
            "memory_mib": null
          },
          "warnings": []
        },
        {
          "active": true,
          "can": [
            "start",
            "stop",
            "restart",
            "pause",
            "resume",
            "suspend",
            "kill",
            "remove"
          ],
          "cpus": 2,
          "disk_mib": 20480,
          "docker_version": "text",
          "driver": "text",
          "env_line": "text",
          "error": "text",
          "memory_mib": 2048,
          "name": "all",
          "state": "Running",
          "unreadable": false,
          "url": "text",
          "usage": {
            "cpu_percent": 1,
            "disk_mib": 1,
            "memory_mib": 1
          },
          "warnings": [
            "text"
          ]
        },
        {
          "active": false,
          "can": [],
          "cpus": 2,
          "disk_mib": 20480,
          "docker_version": null,
          "driver": null,
          "env_line": null,
          "error": null,
          "memory_mib": 2048,
          "name": "none",
          "state": "Running",
          "unreadable": true,
          "url": null,
          "usage": null,
          "warnings": []
        }
      ]
    },
    {
      "failure": {
        "cancelled": false,
        "hints": [
          "text"
        ],
        "message": "text"
      },
      "kind": "trouble"
    },
    {
      "kind": "closing",
      "working": [
        "dev"
      ]
    }
  ],
  "sizeBounds": {
    "cpus": {
      "least": 1,
      "most": 3,
      "usual": 2
    },
    "disk_mib": {
      "least": 1,
      "most": 3,
      "usual": 2
    },
    "memory_mib": {
      "least": 1,
      "most": 3,
      "usual": 2
    }
  },
  "sources": [
    {
      "machine": "dev",
      "of": "containers"
    },
    {
      "machine": "dev",
      "of": "ports"
    },
    {
      "id": "0123456789ab",
      "machine": "dev",
      "of": "container_log"
    },
    {
      "kind": "serial",
      "machine": "dev",
      "of": "machine_log"
    },
    {
      "kind": "supervisor",
      "machine": "dev",
      "of": "machine_log"
    },
    {
      "kind": "qemu",
      "machine": "dev",
      "of": "machine_log"
    },
    {
      "kind": "events",
      "machine": "dev",
      "of": "machine_log"
    }
  ],
  "told": [
    {
      "containers": [
        {
          "can": [
            "start",
            "stop",
            "restart",
            "pause",
            "unpause",
            "rm"
          ],
          "id": "0123456789ab",
          "image": "nginx",
          "name": "web",
          "ports": [
            "text"
          ],
          "project": "text",
          "state": "running",
          "status": "Up"
        },
        {
          "can": [],
          "id": "0123456789ab",
          "image": "nginx",
          "name": "web",
          "ports": [],
          "project": null,
          "state": "running",
          "status": "Up"
        }
      ],
      "docker": "docker --context dev",
      "kind": "containers"
    },
    {
      "kind": "ports",
      "ports": [
        {
          "container": "web",
          "container_port": 80,
          "port": 80,
          "protocol": "tcp",
          "state": {
            "addresses": [
              "127.0.0.1:80"
            ],
            "state": "open"
          }
        },
        {
          "container": "web",
          "container_port": 80,
          "port": 80,
          "protocol": "tcp",
          "state": {
            "state": "opening"
          }
        },
        {
          "container": "web",
          "container_port": 80,
          "port": 80,
          "protocol": "tcp",
          "state": {
            "address": "127.0.0.1:80",
            "holder": "text",
            "state": "taken"
          }
        },
        {
          "container": "web",
          "container_port": 80,
          "port": 80,
          "protocol": "tcp",
          "state": {
            "address": "127.0.0.1:80",
            "holder": null,
            "state": "taken"
          }
        },
        {
          "container": "web",
          "container_port": 80,
          "port": 80,
          "protocol": "tcp",
          "state": {
            "reason": "text",
            "state": "refused"
          }
        }
      ]
    },
    {
      "kind": "lines",
      "lines": [
        "text"
      ]
    },
    {
      "kind": "end"
    },
    {
      "kind": "waiting",
      "reason": "text"
    }
  ]
};
