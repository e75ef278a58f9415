package main

import "github.com/alecthomas/kong"

// longHelp are the texts of flags that are longer than a line of code, by command and flag.
var longHelp = kong.Vars{
	"analyze_separability": "How separable the languages are in the hidden states, layer by layer, before and after " +
		"fine-tuning.",
	"audit_budget":   "Time of this call, e.g. 30m; the same command goes on with the next. Default: 30m, or --tokens.",
	"audit_remedies": "When remedies are tried: where a language is hurt, in any case (all), or never (none).",
	"benchmoo_baseline": "Gram method for the two ways of today: M separate backward passes, and global resolution of M " +
		"full gradients; \"\" leaves them out.",
	"compare_controls": "Also one half of these methods' effect: norm (mean's direction with the method's length), " +
		"direction (the reverse).",
	"compare_iid": "Also plain fine-tuning with every row's language drawn by itself, as other tools mix; all else " +
		"has the run file's data.mixing.",
	"compare_lrs": "Peak learning rates to tune every configuration over; default: half, once and twice the run file's.",
	"compare_methods": "Methods to compare; mean and token-mean (plain fine-tuning) are always among them. all: every " +
		"one.",
	"compare_results": "A file of finished runs, a line each, to begin with and to add to: committed, it lets another checkout " +
		"go on.",
	"compare_out": "The comparison's folder; default: RUN.DIR/NAME-compare. The same command continues there; a " +
		"larger grid extends it.",
	"compare_tuneseeds": "Seeds that choose, from the run file's on; with 2 or more the detectable difference is told " +
		"before the judging runs.",
	"data_lint": "Look for what is wrong with the data of a run file or a folder: duplicates, leaks, empty and " +
		"damaged text. Exit code 3 if there is any.",
	"datalint_near": "From which share of common text two documents are nearly the same (Jaccard similarity of " +
		"5-character pieces).",
	"doctor_backend":    "Only adapters of this backend: vulkan, metal, dx12 or gl.",
	"export_checkpoint": "Of a run, which one: the last, the best of the evaluations so far, or that of step N.",
	"export_dtype": "f32, f16 or bf16, and of a GGUF file also q8_0 or q4_0; default: model.save_dtype, or the base " +
		"model's.",
	"export_format": "safetensors: a model folder for transformers; an adapter is merged into its base model. peft: " +
		"the adapter of a run, for PEFT. gguf: a file for llama.cpp, Ollama, LM Studio. gguf-lora: the adapter alone, " +
		"for llama.cpp's --lora.",
	"export_verify": "Read back what was written and prove that it says what the model says, on texts of the run or " +
		"built-in ones. Needs a device.",
	"fileflags_columns": "Our names of columns and the file's, e.g. --columns 'prompt=question;completion=answer'.",
	"generate_text":     "Question to a model with a chat template, else text to continue; - reads standard input.",
	"init_columns":      "Our names of columns and the files', where files need it, e.g. --columns 'prompt=question;completion=answer'.",
	"init_template":     "Renders conversations where the model has no template of its own: chatml, or a file.",
	"init_dir":          "Folder of data: a file or a subfolder a language, such as sw.jsonl, sw.heldout.jsonl or sw/*.parquet.",
	"import_base": "Of a GGUF adapter: its base model's folder or GGUF file. The folder is then an adapter's, for PEFT " +
		"and adapter.from.",
	"leading_listen": "Lead a run on many machines: UDP address for the others, such as :4433. Short for -o " +
		"cluster.listen=ADDR.",
	"leading_workers": "Machines that the first step waits for, this one included; of a resume, too. Short for -o " +
		"cluster.workers=N.",
	"metering_metrics": "Answer GET /metrics for Prometheus on this TCP address, such as 127.0.0.1:9464. Anybody who " +
		"reaches it can read it. Off by default.",
	"overrides_override": "Override a setting of the run file; repeatable.",
	"chat_ab": "Ask another model too, and show both answers, side by side if the terminal is wide enough: " +
		"a folder, or base, the run's own base model.",
	"init_card":    "Write for a card of this memory, e.g. 8GB; default: the device that is here.",
	"plan_workers": "Plan the run on N machines. Short for -o cluster.workers=N, with a cluster.listen.",
	"plan_card":    "Memory of the card that is planned for, e.g. 8GB; default: [device] memory, or the cards below only.",
	"report_wandb": "Also write the curves to this folder as a run of Weights & Biases that was not online. Nothing " +
		"is sent.",
	"resume_runfile": "Where the run file is now, if the project has moved and the run does not find it: paths are " +
		"taken from it, the files must be the same.",
	"score_ids": "JSON file: a list of token ids, or a list of such lists; - for standard input.",
	"separability_out": "Where to write the result; default: analysis.json in the run's folder, which concord report " +
		"shows.",
	"train_coordinator": "Be one of several equal machines that share an etcd cluster: start the same command on all of " +
		"them. One leads; when it dies another takes over.",
	"train_dir": "With --coordinator: where this machine keeps its identity and what only it holds of the run; by" +
		" default in the user's cache folder.",
	"worker_join": "The line that concord train --listen prints, or @FILE that holds it; nothing else is needed. In" +
		" the environment or a file it is not seen in the list of processes.",
	"worker_model": "A folder that may hold the base model (repeatable): files of the run's content are taken from " +
		"there and not sent.",
	"verify_made": "What was made of it: a PEFT folder, a model folder, a GGUF file, a GGUF adapter. Without it, an " +
		"adapter beside its base model is compared with the two merged.",
}
