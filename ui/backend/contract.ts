// Written by a test of src-tauri: everything that goes over, in every form that it has. Do not edit.
import type {
  Action,
  Answered,
  Check,
  ChosenFolder,
  ContainerAction,
  EngineAction,
  EngineQuestion,
  Failure,
  News,
  Settings,
  SizeBounds,
  Source,
  TerminalRequest,
  Told,
  Typed,
  WorkEvent,
} from './backend.ts';

interface Contract {
  actions: Action[];
  checks: Check[];
  chosenFolder: ChosenFolder;
  containerActions: ContainerAction[];
  engineActions: EngineAction[];
  engineAnswers: Answered[];
  engineQuestions: EngineQuestion[];
  events: WorkEvent[];
  failure: Failure;
  news: News[];
  settings: Settings[];
  sizeBounds: SizeBounds;
  sources: Source[];
  terminal: TerminalRequest;
  told: Told[];
  typed: Typed[];
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
      "cpus": 2,
      "disk_mib": 20480,
      "memory_mib": 2048,
      "name": "dev",
      "verb": "resize"
    },
    {
      "cpus": null,
      "disk_mib": null,
      "memory_mib": null,
      "name": "dev",
      "verb": "resize"
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
  "chosenFolder": {
    "folder": "text",
    "line": "text",
    "read_only_line": "text",
    "warnings": [
      "text"
    ]
  },
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
  "engineActions": [
    {
      "image": "nginx:1",
      "machine": "dev",
      "verb": "pull"
    },
    {
      "image": "sha256:0000000000000000000000000000000000000000000000000000000000000000",
      "machine": "dev",
      "name": "nginx:1",
      "verb": "tag"
    },
    {
      "machine": "dev",
      "name": "nginx:1",
      "verb": "remove_image"
    },
    {
      "image": "sha256:0000000000000000000000000000000000000000000000000000000000000000",
      "machine": "dev",
      "verb": "remove_unnamed_image"
    },
    {
      "all": true,
      "machine": "dev",
      "verb": "prune_images"
    },
    {
      "machine": "dev",
      "names": [
        "web"
      ],
      "verb": "remove_volumes"
    },
    {
      "internal": true,
      "machine": "dev",
      "name": "web",
      "verb": "create_network"
    },
    {
      "machine": "dev",
      "name": "web",
      "verb": "remove_network"
    },
    {
      "machine": "dev",
      "new": {
        "environment": [
          {
            "name": "A",
            "value": "b"
          }
        ],
        "image": "nginx:1",
        "name": null,
        "ports": [
          {
            "container_port": 80,
            "port": 80,
            "protocol": "tcp"
          },
          {
            "container_port": 80,
            "port": 80,
            "protocol": "udp"
          }
        ],
        "restart": "no",
        "volumes": [
          {
            "target": "/data",
            "volume": "data"
          }
        ]
      },
      "verb": "run"
    },
    {
      "machine": "dev",
      "new": {
        "environment": [
          {
            "name": "A",
            "value": "b"
          }
        ],
        "image": "nginx:1",
        "name": "web",
        "ports": [
          {
            "container_port": 80,
            "port": 80,
            "protocol": "tcp"
          },
          {
            "container_port": 80,
            "port": 80,
            "protocol": "udp"
          }
        ],
        "restart": "on-failure",
        "volumes": [
          {
            "target": "/data",
            "volume": "data"
          }
        ]
      },
      "verb": "run"
    },
    {
      "machine": "dev",
      "new": {
        "environment": [
          {
            "name": "A",
            "value": "b"
          }
        ],
        "image": "nginx:1",
        "name": "web",
        "ports": [
          {
            "container_port": 80,
            "port": 80,
            "protocol": "tcp"
          },
          {
            "container_port": 80,
            "port": 80,
            "protocol": "udp"
          }
        ],
        "restart": "unless-stopped",
        "volumes": [
          {
            "target": "/data",
            "volume": "data"
          }
        ]
      },
      "verb": "run"
    },
    {
      "machine": "dev",
      "new": {
        "environment": [
          {
            "name": "A",
            "value": "b"
          }
        ],
        "image": "nginx:1",
        "name": "web",
        "ports": [
          {
            "container_port": 80,
            "port": 80,
            "protocol": "tcp"
          },
          {
            "container_port": 80,
            "port": 80,
            "protocol": "udp"
          }
        ],
        "restart": "always",
        "volumes": [
          {
            "target": "/data",
            "volume": "data"
          }
        ]
      },
      "verb": "run"
    }
  ],
  "engineAnswers": [
    {
      "answer": {
        "inspected": {
          "Id": "text"
        },
        "kind": "container"
      },
      "line": "text"
    },
    {
      "answer": {
        "kind": "processes",
        "rows": [
          [
            "text"
          ]
        ],
        "titles": [
          "text"
        ]
      },
      "line": "text"
    },
    {
      "answer": {
        "kind": "history",
        "steps": [
          {
            "created": 1,
            "made_by": "text",
            "size_bytes": 1
          }
        ]
      },
      "line": "text"
    },
    {
      "answer": {
        "at_most_bytes": 1,
        "kind": "unused",
        "names": [
          "text"
        ]
      },
      "line": "text"
    },
    {
      "answer": {
        "kind": "volume_sizes",
        "sizes": {
          "text": 1
        }
      },
      "line": "text"
    }
  ],
  "engineQuestions": [
    {
      "id": "0123456789ab",
      "machine": "dev",
      "of": "container"
    },
    {
      "id": "0123456789ab",
      "machine": "dev",
      "of": "processes"
    },
    {
      "image": "sha256:0000000000000000000000000000000000000000000000000000000000000000",
      "machine": "dev",
      "of": "history"
    },
    {
      "all": true,
      "machine": "dev",
      "of": "unused_images"
    },
    {
      "machine": "dev",
      "of": "volume_sizes"
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
            "resize",
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
  "settings": [
    {
      "cpus": null,
      "disk_mib": null,
      "language": "system",
      "memory_mib": null,
      "theme": "system"
    },
    {
      "cpus": 1,
      "disk_mib": 1024,
      "language": "english",
      "memory_mib": 1024,
      "theme": "light"
    },
    {
      "cpus": null,
      "disk_mib": null,
      "language": "french",
      "memory_mib": null,
      "theme": "dark"
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
      "machine": "dev",
      "of": "images"
    },
    {
      "machine": "dev",
      "of": "volumes"
    },
    {
      "machine": "dev",
      "of": "networks"
    },
    {
      "machine": "dev",
      "of": "folders"
    },
    {
      "id": "0123456789ab",
      "machine": "dev",
      "of": "figures"
    },
    {
      "image": "alpine",
      "machine": "dev",
      "of": "pull"
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
  "terminal": {
    "columns": 80,
    "id": "0123456789ab",
    "machine": "dev",
    "rows": 24
  },
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
    },
    {
      "images": [
        {
          "created": 1,
          "id": "text",
          "reference": null,
          "size_bytes": 1,
          "used_by": [
            "text"
          ]
        },
        {
          "created": 1,
          "id": "text",
          "reference": "text",
          "size_bytes": 1,
          "used_by": [
            "text"
          ]
        }
      ],
      "kind": "images"
    },
    {
      "kind": "volumes",
      "volumes": [
        {
          "anonymous": true,
          "created": null,
          "driver": "text",
          "name": "text",
          "project": null,
          "used_by": [
            "text"
          ]
        },
        {
          "anonymous": true,
          "created": "text",
          "driver": "text",
          "name": "text",
          "project": "text",
          "used_by": [
            "text"
          ]
        }
      ]
    },
    {
      "kind": "networks",
      "networks": [
        {
          "built_in": true,
          "driver": "text",
          "internal": true,
          "members": [
            {
              "address": null,
              "container": "text"
            },
            {
              "address": "text",
              "container": "text"
            }
          ],
          "name": "text",
          "subnets": [
            "text"
          ]
        }
      ]
    },
    {
      "folders": [
        {
          "carrier": null,
          "events": true,
          "folder": "text",
          "guest": "text",
          "read_only": true,
          "state": null
        },
        {
          "carrier": null,
          "events": true,
          "folder": "text",
          "guest": "text",
          "read_only": true,
          "state": {
            "is": "mounting"
          }
        },
        {
          "carrier": "text",
          "events": true,
          "folder": "text",
          "guest": "text",
          "read_only": true,
          "state": {
            "is": "mounted"
          }
        },
        {
          "carrier": null,
          "events": true,
          "folder": "text",
          "guest": "text",
          "read_only": true,
          "state": {
            "is": "waiting",
            "reason": "text"
          }
        }
      ],
      "kind": "folders",
      "warnings": [
        "text"
      ]
    },
    {
      "figures": null,
      "kind": "figures"
    },
    {
      "figures": {
        "cpu_permille": 0,
        "disk_read_bytes": 0,
        "disk_write_bytes": 0,
        "memory_bytes": 0,
        "memory_limit_bytes": 0,
        "network_in_bytes": 0,
        "network_out_bytes": 0,
        "processes": 0
      },
      "kind": "figures"
    },
    {
      "kind": "pull",
      "layers": [
        {
          "done": null,
          "id": "text",
          "status": "text",
          "total": null
        },
        {
          "done": 1,
          "id": "text",
          "status": "text",
          "total": 1
        }
      ],
      "status": "text"
    },
    {
      "kind": "output",
      "text": "text"
    }
  ],
  "typed": [
    {
      "did": "text",
      "text": "text"
    },
    {
      "columns": 80,
      "did": "size",
      "rows": 24
    }
  ]
};
